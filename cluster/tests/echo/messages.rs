cluster::messages! {
    pub enum Say { Text(String) }
    pub enum Said { Text { from: String, text: String } }
}

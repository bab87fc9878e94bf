//! Figures.
pub async fn measure(_: &crate::Storm) -> anyhow::Result<bool> {
    todo!()
}

//! How players come to a room under test, and leave it.

use crate::room::Room;
use crate::testing::{TestRoom, player};
use crate::types::{
    LeaveReason, MAX_PROFILE, Player, PlayerId, Refusal, RoomId, Route, encode_data, path_of,
    truncate,
};

impl<R: Room> TestRoom<R> {
    /// A new player joins, whose id is their name. `Err`: the room is full or locked, or `on_admit`
    /// refused.
    pub fn join(&mut self, name: &str) -> Result<Player<R::Profile>, Refusal> {
        let player = player(name);
        self.join_as(&player)?;
        Ok(player)
    }

    /// This player joins with what the lobby passes on, as by `join_with`. `Err` as in
    /// [`join`](Self::join).
    ///
    /// # Panics
    /// If the options cannot be serialized as JSON and parsed again.
    pub fn join_with(
        &mut self,
        player: &Player<R::Profile>,
        options: R::JoinOptions,
    ) -> Result<(), Refusal> {
        let options = encode_data("join options", &options, usize::MAX).expect("JSON");
        let ticket = self.ticket_for(player, Some(options))?;
        self.connect(player, &ticket)
    }

    /// This player joins or reconnects: within their grace period, or from another window. `Err` as
    /// in [`join`](Self::join).
    pub fn join_as(&mut self, player: &Player<R::Profile>) -> Result<(), Refusal> {
        let ticket = self.ticket_for(player, None)?;
        self.connect(player, &ticket)
    }

    fn connect(&mut self, player: &Player<R::Profile>, ticket: &str) -> Result<(), Refusal> {
        self.tickets.redeem(ticket, self.now)?;
        let conn = self.number();
        self.conns.insert(conn, player.id.clone());
        self.run(|core| core.connected(conn, &player.id));
        Ok(())
    }

    /// Reserves a seat for a player, who is `expected` until `join_as`, for 15 s at most. `Err` as
    /// in [`join`](Self::join).
    pub fn reserve(&mut self, player: &Player<R::Profile>) -> Result<(), Refusal> {
        self.ticket_for(player, None).map(drop)
    }

    /// A player's connection is lost: `on_disconnect` follows. Does nothing if they are not
    /// connected.
    pub fn drop_player(&mut self, player: &Player<R::Profile>) {
        self.hang_up(player, false);
    }

    /// A player leaves. One who is not connected gives up their seat by `leave_room` in the lobby.
    /// `on_leave` follows.
    pub fn leave(&mut self, player: &Player<R::Profile>) {
        match self.conn_of(player) {
            Ok(_) => self.hang_up(player, true),
            Err(_) => self.about_seat(player, |core, seat| {
                core.release(seat, LeaveReason::Left, None);
            }),
        }
    }

    /// The lobby kicks a player.
    pub fn kick(&mut self, player: &Player<R::Profile>, reason: &str) {
        self.about_seat(player, |core, seat| {
            core.release(seat, LeaveReason::Kicked(truncate(reason)), None)
        });
    }

    /// The players whom the room sent to another room with `send_to_room`, since the last call.
    /// They stay in this room until [`TestRoom::transfer`]; after [`TestRoom::refuse_transfer`]
    /// they remain in it.
    pub fn transfers(&mut self) -> Vec<(PlayerId, RoomId)> {
        std::mem::take(&mut self.transfers)
    }

    /// A player goes to another room, in which they have a seat.
    pub fn transfer(&mut self, player: &Player<R::Profile>, room: &RoomId) {
        let ticket = self.number().to_string();
        let to = Route { room: room.clone(), url: String::new(), path: path_of("", room), ticket };
        self.about_seat(player, |core, seat| core.release(seat, LeaveReason::Moved, Some(to)));
    }

    /// A player is refused a seat in another room, and stays.
    pub fn refuse_transfer(&mut self, player: &Player<R::Profile>, refusal: &Refusal) {
        self.about_seat(player, |core, seat| core.refused(seat, refusal));
    }

    /// The lobby gives a player another profile.
    ///
    /// # Panics
    /// If it cannot be serialized as JSON of at most 512 bytes and parsed again.
    pub fn set_profile(&mut self, player: &Player<R::Profile>, profile: R::Profile) {
        let profile = encode_data("a profile", &profile, MAX_PROFILE).expect("a profile");
        self.about_seat(player, |core, seat| core.set_profile(seat, profile));
    }
}

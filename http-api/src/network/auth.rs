//! Who gets in: on loopback everybody who passes the guard, as the door's documentation shows; else
//! whoever has the operator token.

use crate::{Doors, guard::auth::OperatorToken};

/// The token this door asks for, if it asks for one.
pub(crate) fn wanted(doors: &Doors) -> Option<OperatorToken> {
    let open = doors.loopback() && !doors.node.settings().network.require_token;
    (!open).then(|| doors.operator.clone())
}

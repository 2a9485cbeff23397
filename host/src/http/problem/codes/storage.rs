//! The data folder of the server.

use super::entry::{ProblemCode, codes};

codes! {
    storage_full [503]
        "The disk of the server is full. Nothing was changed; documents are still read."
        "The operator frees space on the disk.";
    storage_read_only [503]
        "The server cannot write its data folder. Nothing was changed; documents are still read."
        "The operator repairs the data folder; the server log has the reason.";
    storage_damaged [503]
        "A record or a component in the data folder of the server is damaged."
        "The operator repairs the data folder; the server log has the reason.";
    storage_unavailable [503]
        "The server could not access its store."
        "The operator repairs the data folder; the server log has the reason.";
}

//! The pure parts together: bytes in, changes out.

mod reflector;
mod telling;

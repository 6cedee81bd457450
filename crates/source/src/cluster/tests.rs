//! The pure parts together: bytes in, changes out.

mod random;
mod reflector;
mod telling;

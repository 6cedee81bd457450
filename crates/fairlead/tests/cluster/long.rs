//! The long test.
use crate::tests;
tests! {}

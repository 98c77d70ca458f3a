//! Parts of a plan that read tables of one system, as one statement for it.
//!
//! A plan's operators become the clauses of a [`select::Select`], its expressions [`term::Term`]s of the system's SQL. Each is
//! translated only where its value there is the one that DataFusion would compute: [`term::Terms`] is where a dialect says
//! so. What has no translation stays here, and so does all that is above it; what is below may still run there.
//!
//! DataFusion's own unparser writes SQL that means something near: it leaves collations, NULLs' order, casts and divisions to
//! the system that reads it. Hence this one.

mod derived;
mod expr;
mod region;
mod select;
mod term;

pub use derived::DerivedTable;
pub use expr::Scope;
pub use region::{Rendered, render, split_filter};
pub use term::{AggregateCall, Arithmetic, Term, Terms, second_digits};

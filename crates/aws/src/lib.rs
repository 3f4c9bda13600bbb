//! Who somebody is to AWS, and signed calls of its services.
//!
//! Region, credentials and addresses come from where every tool of AWS finds them (`aws-config`): the environment, profiles, SSO, roles that are
//! assumed, and what containers and machines are given. Calls are signed (`aws-sigv4`) and sent as they are: a body is the document that a caller
//! made, and an answer is all that the service said. Nothing is repeated here.
//!
//! There is no SDK of a service below: their types are closed to what they do not know, cannot be printed as documents, and each of them costs more
//! time to build than everything here.

mod client;
mod credentials;
pub mod partition;
mod refusal;
mod service;
mod session;
mod xml;

pub use self::{
    client::{Client, Outcome},
    credentials::Credentials,
    refusal::{Refusal, Refused},
    service::{Protocol, Service},
    session::Session,
};

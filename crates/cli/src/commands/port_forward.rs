use std::{net::Ipv4Addr, str::FromStr, sync::Arc};

use clap::Args;
use straddle_core::{
    error::Error,
    orchestrator::{ConnectRequest, Orchestrator},
    scope::Scope,
};
use tokio::net::{TcpListener, TcpStream};

use super::Outcome;
use crate::{
    args::AppArgs,
    error::Failure,
    output::ForwardOutput,
    session::{Connected, Session},
    shell::Shell,
    style,
};

/// Reach a port of a service from this machine, until Ctrl-C
#[derive(Debug, Args)]
pub(crate) struct PortForwardArgs {
    /// The service
    service: String,
    /// The port of the service, and the one on this machine where it is another; 0 takes any that is free
    #[arg(value_name = "[LOCAL:]PORT")]
    ports: Ports,
    /// To this replica, as straddle status -v names it [default: a healthy one for each connection]
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    #[command(flatten)]
    pub(crate) place: AppArgs,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    local: u16,
    remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let local = local.parse().map_err(|_| format!("`{local}` is not a port"))?;
        match remote.parse() {
            Ok(remote @ 1..) => Ok(Self { local, remote }),
            _ => Err(format!("`{remote}` is not a port: write 1 to 65535")),
        }
    }
}

pub(crate) async fn run(args: &PortForwardArgs, session: &Session) -> Outcome {
    let connected = session.connect_by_name().await?;
    let status = connected.orchestrator.status(&connected.scope).await?;
    if status.service(&args.service).is_none() {
        let known: Vec<String> = status.services.iter().map(|service| service.name.clone()).collect();
        let error = Error::not_found(format!("service {} of {}", args.service, connected.scope));
        return Err(Failure::Core(if known.is_empty() {
            error.with_help("nothing runs yet: straddle up")
        } else {
            error.with_help(format!("there is {}", style::list(&known)))
        }));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.ports.local)).await.map_err(|error| {
        Failure::usage(format!("port {} of this machine cannot be used: {error}", args.ports.local))
            .with_help(format!(
                "take another one: straddle port-forward {} 0:{}",
                args.service, args.ports.remote
            ))
    })?;
    let local = listener.local_addr().map_err(Failure::internal)?.to_string();
    announce(args, session, &local)?;
    session.until_interrupted(serve(args, session, &connected, &listener)).await
}

fn announce(args: &PortForwardArgs, session: &Session, local: &str) -> Result<(), Failure> {
    let shell = &session.shell;
    if shell.is_json() {
        return shell.json_line(&ForwardOutput {
            service: args.service.clone(),
            local: local.to_owned(),
            port: args.ports.remote,
        });
    }
    shell.say(&format!(
        "{} → {} port {}   Ctrl-C ends it.\n",
        style::name(local),
        style::bold(&args.service),
        args.ports.remote
    ));
    Ok(())
}

async fn serve(
    args: &PortForwardArgs,
    session: &Session,
    connected: &Connected,
    listener: &TcpListener,
) -> Outcome {
    loop {
        let (stream, _) = listener.accept().await.map_err(Failure::internal)?;
        let mut request = ConnectRequest::new(&args.service, args.ports.remote);
        request.replica.clone_from(&args.replica);
        let (orchestrator, scope) = (Arc::clone(&connected.orchestrator), connected.scope.clone());
        tokio::spawn(forward(orchestrator, scope, request, stream, Arc::clone(&session.shell)));
    }
}

/// Joins a connection with one to the service; a failure ends this connection alone.
async fn forward(
    orchestrator: Arc<dyn Orchestrator>,
    scope: Scope,
    request: ConnectRequest,
    mut stream: TcpStream,
    shell: Arc<Shell>,
) {
    match orchestrator.connect(&scope, request).await {
        Ok(mut remote) => {
            // Either side may close at any time; that is how connections end.
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut remote).await;
        }
        Err(error) => Failure::Core(error).show(&shell),
    }
}

//! Commands inside containers of ECS: what the real session-manager-plugin makes of what it is handed.
//!
//! The plugin is compiled from its public Go module. The other end of its connection, which is an agent in the container on AWS, is played here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test program, whose helpers fail as its tests do")]

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use straddle_tests::{
    cli::{Folder, Ran},
    ecs_fake::{Fake, FakeOptions},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_tungstenite::{accept_async, tungstenite::Message};

const SPEC: &str = "\
app: shop
services:
  web:
    containers:
      web: {image: 'shop/web:1'}
      side: {image: 'shop/side:1', essential: false}
";

/// Compiles the plugin, unless it is there; returns its path.
fn plugin() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/lib/gotool.sh");
        let build = "set -euo pipefail; source \"$1\"; gotool_build session-plugin github.com/aws/session-manager-plugin";
        let built = Command::new("bash").args(["-c", build, "bash", script]).output().unwrap();
        assert!(built.status.success(), "no plugin:\n{}", String::from_utf8_lossy(&built.stderr));
        PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
    })
}

/// A service that runs on the fake, and a folder to ask about it from.
struct Stage {
    fake: Fake,
    folder: Folder,
}

impl Stage {
    /// `sessions` is where the plugin is told to connect.
    fn new(sessions: Option<String>, target: &str) -> Self {
        let fake = Fake::start(FakeOptions {
            settle: Duration::from_millis(50),
            sessions,
            ..FakeOptions::default()
        })
        .unwrap();
        let folder = Folder::new()
            .unwrap()
            .with_variable("AWS_ENDPOINT_URL", fake.url())
            .with_variable("AWS_REGION", "eu-central-1")
            .with_variable("AWS_ACCESS_KEY_ID", "test")
            .with_variable("AWS_SECRET_ACCESS_KEY", "test");
        folder.write("straddle.yaml", SPEC).unwrap();
        let common =
            "subnets = [\"subnet-00000001\"]\nexecution_role = \"arn:aws:iam::111122223333:role/execution\"";
        folder
            .write("straddle.toml", &format!("target = \"ecs\"\n[targets.ecs]\n{common}\n{target}\n"))
            .unwrap();
        let ran = folder.run(&["up", "--yes"]).unwrap();
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        Self { fake, folder }
    }

    /// Puts the plugin where programs are looked for.
    fn with_plugin(mut self) -> Self {
        let programs = self.folder.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        symlink(plugin(), programs.join("session-manager-plugin")).unwrap();
        let path = std::env::var("PATH").unwrap();
        self.folder.set_variable("PATH", format!("{}:{path}", programs.display()));
        self
    }
}

const ROLE: &str = "task_role = \"arn:aws:iam::111122223333:role/task\"";

/// A message of the protocol between plugin and agent: a header of 116 bytes, then the length of the payload, then that.
fn message(kind: &str, number: i64, payload_type: u32, payload: &[u8]) -> Vec<u8> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let mut bytes = 116_u32.to_be_bytes().to_vec();
    bytes.extend(format!("{kind:<32}").as_bytes());
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(u64::try_from(now).unwrap().to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(0_u64.to_be_bytes());
    bytes.extend([7; 16]);
    bytes.extend(Sha256::digest(payload));
    bytes.extend(payload_type.to_be_bytes());
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Answers one plugin as the agent in a container does: with a line, and then that the command has ended. Returns what it said first.
async fn agent(listener: TcpListener) -> Value {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    let opened = loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            break serde_json::from_str::<Value>(text.as_str()).unwrap();
        }
    };
    let line = message("output_stream_data", 0, 1, b"hello from the container\r\n");
    socket.send(Message::Binary(line.into())).await.unwrap();
    // The plugin says that it has it; only then is there an end to say.
    while !matches!(socket.next().await, Some(Ok(Message::Binary(bytes))) if bytes[4..].starts_with(b"acknowledge"))
    {
    }
    let closed = json!({
        "MessageId": "07070707-0707-0707-0707-070707070707",
        "CreatedDate": "2026-01-01T00:00:00Z",
        "DestinationId": "",
        "SessionId": "session",
        "MessageType": "channel_closed",
        "SchemaVersion": 1,
        "Output": "",
    });
    let end = message("channel_closed", 1, 0, closed.to_string().as_bytes());
    socket.send(Message::Binary(end.into())).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    opened
}

#[test]
fn the_plugin_of_aws_takes_over() {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    let stage = Stage::new(Some(address), ROLE).with_plugin();
    let agent = runtime.spawn(agent(listener));
    // Nothing is sent to the command, and yet the plugin must not see an end of its input.
    let ran = stage.folder.run(&["exec", "web", "--", "echo", "two words", "$HOME"]).unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("hello from the container"), "{ran:?}");
    let opened = runtime.block_on(agent).unwrap();
    let asked = stage.fake.requests_of("ecs:ExecuteCommand").pop().unwrap();
    assert_eq!(asked["command"], "echo 'two words' '$HOME'");
    assert_eq!(asked["container"], "web");
    assert_eq!(asked["interactive"], true);
    assert!(opened["TokenValue"].as_str().is_some_and(|token| !token.is_empty()), "{opened}");
}

#[test]
fn the_session_is_no_argument_of_a_process() {
    let stage = Stage::new(None, ROLE);
    let programs = stage.folder.path().join("bin");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo \"$VERSION\"; exit; }\nprintf '%s\\n' \"$@\"\nprintf '%s\\n' \"$AWS_SSM_START_SESSION_RESPONSE\" >&2\nexit 3\n";
    stage.folder.write("bin/session-manager-plugin", script).unwrap();
    let file = programs.join("session-manager-plugin");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |version: &str| -> Ran {
        let mut command = stage.folder.command(&["exec", "-c", "side", "web", "--", "sh"]).unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let output = command.env("PATH", path).env("VERSION", version).stdin(Stdio::null()).output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let told = run("1.2.764.0");
    // What the plugin says is what is said.
    assert_eq!(told.code, 3, "{told:?}");
    let arguments: Vec<&str> = told.out.lines().collect();
    let [first, region, operation, profile, target, endpoint] = arguments.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        [*first, *region, *operation, *profile],
        ["AWS_SSM_START_SESSION_RESPONSE", "eu-central-1", "StartSession", ""]
    );
    let target: Value = serde_json::from_str(target).unwrap();
    let target = target["Target"].as_str().unwrap();
    assert!(target.starts_with("ecs:default_") && target.split('_').count() == 3, "{target}");
    assert_eq!(*endpoint, stage.fake.url());
    let session: Value = serde_json::from_str(told.err.trim()).unwrap();
    assert!(session["tokenValue"].is_string() && session["sessionId"].is_string(), "{session}");
    // Older ones know no other way.
    let older = run("1.2.497.0");
    let session: Value = serde_json::from_str(older.out.lines().next().unwrap()).unwrap();
    assert!(session["tokenValue"].is_string(), "{older:?}");
}

#[test]
fn what_is_missing_is_named() {
    let stage = Stage::new(None, ROLE);
    let ran = stage.folder.run(&["exec", "web", "--", "sh"]).unwrap();
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("session-manager-plugin is not installed"), "{ran:?}");
    assert!(ran.err.contains("install it: https://docs.aws.amazon.com/"), "{ran:?}");
    assert!(stage.fake.requests_of("ecs:ExecuteCommand").is_empty(), "a session was opened for nobody");
    let ran = stage.folder.run(&["exec", "web", "-c", "nobody", "--", "sh"]).unwrap();
    assert!(ran.err.contains("container `nobody` of `web`") && ran.err.contains("there is"), "{ran:?}");
    // ECS would not make a service that has no role, if it were to run commands in it.
    let without = Stage::new(None, "").with_plugin();
    let ran = without.folder.run(&["exec", "web", "--", "sh"]).unwrap();
    assert_eq!(ran.code, 125, "{ran:?}");
    assert!(ran.err.contains("without commands inside its containers"), "{ran:?}");
}

//! Images from a registry that wants to know who asks: the distribution's own registry, on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests"
)]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use straddle_tests::{cli::Folder, docker::Engine};

/// The password of the registry's one user, and its hash (bcrypt) as the registry keeps it.
const PASSWORD: &str = "open-sesame";
const HASH: &str = "$2a$05$gwBr56pdjGLO3JTX2LRELechIX9ktz99SWQstnuFtQMKjG2E9TSq2";

/// A registry that ends with the test.
struct Registry {
    server: Child,
    address: String,
}

impl Registry {
    fn start(folder: &Folder) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        folder.write("registry/htpasswd", &format!("ada:{HASH}\n")).unwrap();
        let root = folder.path().join("registry");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{address}'}}\n\
             auth: {{htpasswd: {{realm: tests, path: {root}/htpasswd}}}}\n",
            root = root.display()
        );
        folder.write("registry/config.yml", &config).unwrap();
        let server = Command::new("docker-registry")
            .args(["serve", "registry/config.yml"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the package docker-registry is installed by scripts/test");
        let registry = Self { server, address };
        let until = Instant::now() + Duration::from_secs(20);
        while !registry.answers() {
            assert!(Instant::now() < until, "the registry did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let mut answer = [0; 12];
        stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer.ends_with(b"401")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Returns the text of a docker configuration that is logged in with a password.
fn logged_in(registry: &Registry, password: &str) -> String {
    let token = base64(format!("ada:{password}").as_bytes());
    format!(r#"{{"auths": {{"{}": {{"auth": "{token}"}}}}}}"#, registry.address)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            (0..3).fold(0_u32, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_pulled_with_the_credentials_of_the_docker_cli() {
    let engine = Engine::connect().await.unwrap();
    let folder = Folder::new().unwrap();
    let registry = Registry::start(&folder);
    let image = format!("{}/suite/probe:1", registry.address);
    engine.push_probe(&image, "ada", PASSWORD).await.unwrap();

    let app = format!("pull{}", std::process::id());
    let spec = |image: &str| {
        format!(
            "app: {app}\nservices:\n  web: {{image: \"{image}\", command: [sleep, 10m], stop: {{grace: 1s, drain: 0s}}}}\n"
        )
    };
    let folder = folder.with_variable("DOCKER_CONFIG", "docker");
    folder.write("straddle.yaml", &spec(&image)).unwrap();

    folder.write("docker/config.json", &logged_in(&registry, "wrong")).unwrap();
    let refused = folder.run(&["up", "--yes"]).unwrap();
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.err.contains(&image) && !refused.err.contains("wrong"), "{}", refused.err);

    folder.write("docker/config.json", &logged_in(&registry, PASSWORD)).unwrap();
    let up = folder.run(&["up", "--yes"]).unwrap();
    assert_eq!(up.code, 0, "{}", up.err);

    folder.write("straddle.yaml", &spec(&image.replace("probe:1", "probe:2"))).unwrap();
    let missing = folder.run(&["up", "--yes"]).unwrap();
    assert_eq!(missing.code, 5, "{missing:?}");
    assert!(missing.err.contains("probe:2") && missing.err.contains("not found"), "{}", missing.err);

    let down = folder.run(&["down", "--volumes", "--yes"]).unwrap();
    assert_eq!(down.code, 0, "{}", down.err);
    engine.forget_image(&image).await.unwrap();
}

/// What a predecessor is made of is only known once its image was pulled: what waits for it, task or service, must not be planned anew for that.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_to_do_after_an_image_was_pulled() {
    let engine = Engine::connect().await.unwrap();
    let local = engine.load_probe().await.unwrap();
    let folder = Folder::new().unwrap();
    let registry = Registry::start(&folder);
    let image = format!("{}/suite/probe:3", registry.address);
    engine.push_probe(&image, "ada", PASSWORD).await.unwrap();

    let folder = folder.with_variable("DOCKER_CONFIG", "docker");
    folder.write("docker/config.json", &logged_in(&registry, PASSWORD)).unwrap();
    let stop = "stop: {grace: 1s, drain: 0s}";
    let spec = format!(
        "app: pulled{}\nservices:\n  store: {{image: \"{image}\", command: [sleep, 10m], {stop}}}\n  \
         web: {{image: \"{local}\", command: [sleep, 10m], after: {{migrate: success}}, {stop}}}\n\
         tasks:\n  migrate: {{image: \"{local}\", command: [exit, \"0\"], after: {{store: started}}}}\n",
        std::process::id()
    );
    folder.write("straddle.yaml", &spec).unwrap();
    let up = folder.run(&["up", "--yes"]).unwrap();
    assert_eq!(up.code, 0, "{}", up.err);
    let plan = folder.run(&["plan"]).unwrap();

    let down = folder.run(&["down", "--volumes", "--yes"]).unwrap();
    assert_eq!(down.code, 0, "{}", down.err);
    engine.forget_image(&image).await.unwrap();
    assert!(plan.out.contains("nothing to change"), "{}", plan.out);
}

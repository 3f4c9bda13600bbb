//! Compiles the helper program and packs it as an image.

fn main() -> std::io::Result<()> {
    straddle_embed::Program::new("straddle-helper", "program/main.rs", "/straddle/helper")
        .with_label("dev.straddle.helper", env!("CARGO_PKG_VERSION"))
        .with_stop_signal("SIGKILL")
        .embed()
}

//! Compiles the probe program and packs it as an image.

fn main() -> std::io::Result<()> {
    straddle_embed::Program::new("straddle-probe", "program/main.rs", "/probe").embed()
}

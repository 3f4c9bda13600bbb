//! The image archive that the library carries.

#![allow(clippy::unwrap_used, reason = "a test program")]

use straddle_helper::{Architecture, binary, image_name, image_tar};

#[test]
fn the_image_is_embedded_for_this_machine() {
    let architecture = Architecture::from_name(std::env::consts::ARCH).unwrap();
    let program = binary(architecture).unwrap();
    assert!(program.starts_with(b"\x7fELF"));
    let archive = image_tar(architecture).unwrap();
    assert!(archive.windows(program.len()).step_by(512).any(|window| window == program));
}

#[test]
fn the_name_is_a_repository_and_a_hash() {
    let name = image_name();
    let tag = name.strip_prefix("straddle-helper:").unwrap();
    assert_eq!(tag.len(), 12);
    assert!(tag.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn an_architecture_without_a_program_has_no_image() {
    for architecture in Architecture::ALL {
        assert_eq!(binary(architecture).is_some(), image_tar(architecture).is_some());
    }
}

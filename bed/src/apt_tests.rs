use super::*;

#[test]
fn libraries_are_told_from_other_packages() {
    let name = |line: &str| library(line);
    assert_eq!(name("Inst libltdl7 (2.4.7-7 Debian:12 [amd64])").as_deref(), Some("libltdl7"));
    for other in [
        "Inst libgtk-3-common (3.24 Debian:12 [all])",
        "Inst libc6 [2.36-1] (2.36-2 Debian:12 [amd64])",
        "Inst bochs (2.7 Debian:12 [amd64])",
        "Conf libltdl7 (2.4.7-7 Debian:12 [amd64])",
    ] {
        assert_eq!(name(other), None, "{other}");
    }
}

#[test]
fn an_unknown_package_is_named() {
    let tool = |said: &str| Error::Tool { command: "apt-get".into(), said: said.into() };
    for said in [
        "  E: Unable to locate package bochs",
        "  E: Package 'bochs' has no installation candidate",
    ] {
        let error = unknown_package(tool(said)).to_string();
        assert!(error.contains("needs the package bochs, which apt"), "{error}");
    }
    let error = unknown_package(tool("  E: Broken packages")).to_string();
    assert!(error.contains("Broken packages"), "{error}");
}

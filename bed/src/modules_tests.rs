use super::*;

const WANTED: &[&str] = &["virtio_pci", "virtio_console", "kvm_amd"];

#[test]
fn names_come_from_files() {
    assert_eq!(name(Path::new("a/kvm-amd.ko")).as_deref(), Some("kvm_amd"));
    assert_eq!(name(Path::new("a/virtio_pci.ko.xz")).as_deref(), Some("virtio_pci"));
    assert_eq!(name(Path::new("modules.order")), None);
}

#[test]
fn dependencies_are_read() {
    assert_eq!(
        dependencies(b"\x7fELF\0license=GPL\0depends=kvm,irq-bypass\0x="),
        ["kvm", "irq_bypass"]
    );
    assert!(dependencies(b"license=GPL\0depends=\0").is_empty());
    assert!(dependencies(b"").is_empty());
}

#[test]
fn what_is_needed_comes_first_and_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let drivers = folder.path().join("kernel/drivers");
    fs::create_dir_all(&drivers).expect("a folder");
    for (name, depends) in [
        ("virtio_pci", "virtio"),
        ("virtio_console", "virtio,virtio_ring"),
        ("kvm-amd", "kvm"),
        ("kvm", "irqbypass"),
        ("irqbypass", ""),
        ("virtio", ""),
    ] {
        let content = format!("\0depends={depends}\0");
        fs::write(drivers.join(format!("{name}.ko")), content).expect("a file");
    }
    fs::write(folder.path().join("modules.builtin"), "kernel/drivers/virtio_ring.ko\n")
        .expect("a file");
    let modules = Modules::of("linux", folder.path(), Path::new("/none")).expect("modules");
    let order: Vec<String> =
        modules.needed(WANTED).expect("all are there").into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["virtio", "virtio_pci", "virtio_console", "irqbypass", "kvm", "kvm_amd"]);
    fs::remove_file(drivers.join("kvm.ko")).expect("a file");
    let modules = Modules::of("linux", folder.path(), Path::new("/none")).expect("modules");
    let error = modules.needed(WANTED).expect_err("one is missing").to_string();
    assert!(error.contains("package linux: has no kvm"), "{error}");
}

#[test]
fn a_signature_is_cut_off() {
    let signed = |length: u32| {
        let mut module = b"module".to_vec();
        module.extend(b"signature");
        module.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        module.extend(length.to_be_bytes());
        module.extend(b"~Module signature appended~\n");
        module
    };
    assert_eq!(without_signature(&signed(9)), b"module");
    // A length that the module doesn't have.
    assert_eq!(without_signature(&signed(1000)), signed(1000));
    assert_eq!(without_signature(b"module"), b"module");
    assert_eq!(without_signature(b"~Module signature appended~\n").len(), 28);
}

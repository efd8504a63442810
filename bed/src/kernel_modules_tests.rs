use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("a file");
    }
    folder
}

#[test]
fn only_sources_count() {
    let one = folder(&[("Kbuild", "obj-m := a.o\n"), ("a.c", "int a;\n"), ("a.o", "object")]);
    let sources = read(one.path()).expect("sources");
    let names: Vec<&str> = sources.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Kbuild", "a.c"]);
    // Another text is another module, and so is another name.
    let other = folder(&[("Kbuild", "obj-m := a.o\n"), ("a.c", "int b;\n")]);
    let third = folder(&[("Kbuild", "obj-m := a.o\n"), ("b.c", "int a;\n")]);
    let hashes = [other, third].map(|other| hash(&read(other.path()).expect("sources")));
    assert!(hashes.iter().all(|other| *other != hash(&sources)));
}

#[test]
fn a_folder_without_modules_is_refused() {
    let folder = folder(&[("a.c", "int a;\n")]);
    let error = read(folder.path()).expect_err("no Kbuild");
    assert!(error.to_string().ends_with("it has no file Kbuild that names the modules"), "{error}");
    assert!(read(&folder.path().join("missing")).is_err());
}

use super::*;

#[test]
fn the_loaders_list_is_understood() {
    let path = |path: &str| Ok(Some(PathBuf::from(path)));
    assert_eq!(library("\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)"), path("/lib/x/libc.so.6"));
    assert_eq!(library("\t/lib64/ld.so (0x00007f)"), path("/lib64/ld.so"));
    assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffd)"), Ok(None));
    let error = library("\tlibz.so.1 => not found").expect_err("it is missing");
    assert!(error.contains("libz.so.1"), "{error}");
}

#[test]
fn a_program_brings_what_it_is_linked_to() {
    let own = std::env::current_exe().expect("this program");
    let files = libraries(&own).expect("its libraries");
    let bytes = fs::read(&own).expect("this program");
    assert_eq!(files.is_empty(), loader(&bytes).is_none(), "{files:?}");
    assert!(files.iter().all(|file| file.is_file()), "{files:?}");
}

#[test]
fn what_is_no_program_needs_nothing() {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(libraries(Path::new(text)).expect("nothing"), Vec::<PathBuf>::new());
}

#[test]
fn a_program_runs_without_its_sections() {
    let echo = ["/bin/echo", "/usr/bin/echo"].map(Path::new);
    let program = echo.into_iter().find(|path| path.is_file()).expect("echo");
    let whole = fs::read(program).expect("a program");
    let part = loaded_part(whole.clone());
    assert!(part.len() < whole.len());
    assert_eq!(loaded_part(part.clone()), part);
    assert_eq!(loaded_part(b"text".to_vec()), b"text");
    assert_eq!(loader(&part), loader(&whole));
}

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::*;

/// Each of these changes is noticed, and a file that is only read is the same.
#[test]
fn changes_are_noticed() {
    type Change = fn(&Path) -> std::io::Result<()>;
    let changes: [(&str, bool, Change); 5] = [
        ("read", false, |path| fs::read(path).map(drop)),
        ("longer", true, |path| fs::write(path, "longer")),
        ("removed", true, |path| fs::remove_file(path)),
        ("replaced", true, |path| {
            // The old file is still there, so the new one has another inode.
            fs::rename(path, path.with_extension("old"))?;
            fs::write(path, "text")
        }),
        ("another time", true, |path| {
            let time = SystemTime::now() + Duration::from_secs(3);
            File::options().write(true).open(path)?.set_modified(time)
        }),
    ];
    let folder = std::env::temp_dir().join(format!("jitterbug-stamps-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    for (name, is_noticed, change) in changes {
        let path = folder.join(name);
        fs::write(&path, "text").unwrap();
        let mut stamps = Stamps::default();
        stamps.add(&path);
        assert!(!stamps.has_changed(&path), "{name}");
        change(&path).unwrap();
        assert_eq!(stamps.has_changed(&path), is_noticed, "{name}");
        assert_eq!(stamps.changed(), is_noticed.then_some(&*path), "{name}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

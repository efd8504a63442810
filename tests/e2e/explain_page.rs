//! The claims: the page of `explain --html` needs nothing but itself, and shows what the report says
//! in a real browser, at two widths, in light and in dark. The screenshots stay in the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::explain::finding;
use crate::harness::jitterbug;
use crate::needs::CHROMIUM;
use crate::scratch::Folder;

tests! {
    KvmAndChromium: the_page_shows_it_all, the_page_fits_two_widths;
    QuickKvm: the_page_needs_nothing_else;
}

/// A guest's page, and the source of the guests beside it.
fn page(folder: &Folder, guest: &str) -> PathBuf {
    let (file, page) = (finding(folder, guest), folder.join("page.html"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    jitterbug("explain --html").arg(&page).arg("--source").arg(source).arg(file).ends_with(0);
    page
}

/// What the browser says when it has run the page.
fn browse(page: &Path, options: &[&str]) -> String {
    let profile = Folder::new();
    let output = Command::new(CHROMIUM)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        // Whatever it would load fails.
        .args(["--proxy-server=127.0.0.1:9", "--no-first-run"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(options)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("Chromium");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How often a text is in another.
fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

fn the_page_shows_it_all() {
    let folder = Folder::new();
    let dom = browse(&page(&folder, "abba"), &["--dump-dom"]);
    assert!(
        dom.contains("data-ready=\"yes\"") && dom.contains("data-shown=\"yes\""),
        "no page: {dom}"
    );
    // Two pairs, four accesses, an arrow for each pair.
    assert_eq!(count(&dom, "class=\"access\""), 4);
    assert_eq!(count(&dom, "class=\"arrow\""), 2);
    assert_eq!(count(&dom, "class=\"badge\""), 4);
    assert!(count(&dom, "class=\"step\"") >= 8, "hardly a step in the lanes");
    assert_eq!(count(&dom, "class=\"switch preempts\""), 2, "the key's and the schedule's");
    assert_eq!(count(&dom, "class=\"curve\""), 1);
    // The source line, the graph, both schedules, the commands.
    assert!(dom.contains("spin_lock(&amp;lock_b);"), "no source");
    assert!(dom.contains("waits for") && dom.contains("is 0x1"), "no graph");
    assert_eq!(count(&dom, "class=\"side\""), 2);
    assert!(dom.contains("jitterbug replay"), "no command");
}

fn the_page_fits_two_widths() {
    let folder = Folder::new();
    let page = page(&folder, "aba-stack");
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, width, height) in [("wide", 1280u32, 3600u32), ("narrow", 420, 5200)] {
        let shot = shots.join(format!("explain-{name}.png"));
        let _ = fs::remove_file(&shot);
        let (size, to) =
            (format!("--window-size={width},{height}"), format!("--screenshot={}", shot.display()));
        browse(&page, &[&size, &to]);
        let png = fs::read(&shot).expect("a screenshot");
        let word = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((word(16), word(20)), (width, height), "{name}");
        // An empty page is a few kilobytes of one colour.
        assert!(png.len() > 60_000, "{name}: {} bytes", png.len());
        eprintln!("{name}: {}", shot.display());
    }
    // Nothing but what scrolls by itself is wider than the window.
    let text = fs::read_to_string(&page).unwrap();
    let probe = "<script>document.title = document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'too wide'</script></body>";
    let probed = folder.file("probed.html", text.replacen("</body>", probe, 1));
    for width in [1280, 500] {
        let dom = browse(&probed, &[&format!("--window-size={width},800"), "--dump-dom"]);
        assert!(dom.contains("<title>fits</title>"), "too wide for {width}");
    }
}

fn the_page_needs_nothing_else() {
    let folder = Folder::new();
    let text = fs::read_to_string(page(&folder, "lost-wakeup")).unwrap();
    for outside in ["<link", "src=", "@import", "url(http", "fetch(", "https://"] {
        assert!(!text.contains(outside), "{outside} in the page");
    }
    // Without scripts it is the page for the terminal.
    assert!(text.contains("<noscript><pre>lost-wakeup, 2 vCPUs: proven hang"), "no text");
    assert!(!text.contains("{{"), "a part of the page is missing");
}

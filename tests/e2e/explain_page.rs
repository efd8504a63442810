//! The claims: the page of `explain --html` needs no other file, and shows the contents of the
//! report in a real browser, at two widths, in light and in dark mode. The screenshots remain in
//! the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::explain::finding;
use crate::harness::jitterbug;
use crate::needs::CHROMIUM;
use crate::scratch::Folder;

tests! {
    KvmAndChromium: the_page_shows_it_all, the_page_fits_two_widths, the_page_answers;
    QuickKvm: the_page_needs_nothing_else;
}

/// The page of a guest's failure, with the guests' sources.
fn page(folder: &Folder, guest: &str) -> PathBuf {
    let (file, page) = (finding(folder, guest), folder.join("page.html"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    jitterbug("explain --html").arg(&page).arg("--source").arg(source).arg(file).ends_with(0);
    page
}

/// The page's contents after the browser has run its scripts.
pub(crate) fn browse(page: &Path, options: &[&str]) -> String {
    let profile = Folder::new();
    let output = Command::new(CHROMIUM)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        // Any request to the network fails.
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

/// How many times a text is contained in another.
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
    // There are two pairs, four accesses, and an arrow for each pair.
    assert_eq!(count(&dom, "class=\"access\""), 4);
    assert_eq!(count(&dom, "class=\"arrow\""), 2);
    assert_eq!(count(&dom, "class=\"badge\""), 4);
    assert!(count(&dom, "class=\"step\"") >= 8, "hardly a step in the lanes");
    assert_eq!(count(&dom, "class=\"switch preempts\""), 2, "the key's and the schedule's");
    assert_eq!(count(&dom, "class=\"curve\""), 1);
    // The page has the source line, the graph, both schedules and the commands.
    assert!(dom.contains("spin_lock(&amp;lock_b);"), "no source");
    assert!(dom.contains("waits for") && dom.contains("is 0x1"), "no graph");
    assert_eq!(count(&dom, "class=\"side\""), 2);
    assert!(dom.contains("jitterbug replay"), "no command");
}

fn the_page_fits_two_widths() {
    let folder = Folder::new();
    let page = page(&folder, "aba-stack");
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let text = fs::read_to_string(&page).unwrap();
    let dark = text.replacen("<html ", "<html data-theme=\"dark\" ", 1);
    let gray = text.replacen("<html ", "<html style=\"filter: grayscale(1)\" ", 1);
    let (dark, gray) = (folder.file("dark.html", dark), folder.file("gray.html", gray));
    for (name, page, width, height) in [
        ("wide", &page, 1280u32, 3600u32),
        ("narrow", &page, 420, 5200),
        ("dark", &dark, 1280, 3600),
        ("gray", &gray, 1280, 3600),
    ] {
        let shot = shots.join(format!("explain-{name}.png"));
        let _ = fs::remove_file(&shot);
        let (size, to) =
            (format!("--window-size={width},{height}"), format!("--screenshot={}", shot.display()));
        browse(page, &[&size, &to]);
        let png = fs::read(&shot).expect("a screenshot");
        let word = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((word(16), word(20)), (width, height), "{name}");
        // An empty page is a few kilobytes of one colour.
        assert!(png.len() > 60_000, "{name}: {} bytes", png.len());
        eprintln!("{name}: {}", shot.display());
    }
    // Only elements that scroll by themselves may be wider than the window.
    let probe = "<script>document.title = document.documentElement.scrollWidth <= innerWidth ? 'fits' : 'too wide'</script></body>";
    let probed = folder.file("probed.html", text.replacen("</body>", probe, 1));
    for width in [1280, 500] {
        let dom = browse(&probed, &[&format!("--window-size={width},800"), "--dump-dom"]);
        assert!(dom.contains("<title>fits</title>"), "too wide for {width}");
    }
}

/// Adds a script after the page's own scripts, and returns the title that it sets.
fn ask(folder: &Folder, page: &Path, script: &str, width: u32) -> String {
    let text = fs::read_to_string(page).unwrap();
    let script = format!("<script>document.title = {script}</script></body>");
    let asked = folder.file("asked.html", text.replacen("</body>", &script, 1));
    let dom = browse(&asked, &[&format!("--window-size={width},900"), "--dump-dom"]);
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    title.expect("a title").to_owned()
}

/// Tests what reacts to the user (the box at a step, the visibility of the numbered accesses,
/// zoom), and what is shown once.
fn the_page_answers() {
    let folder = Folder::new();
    let page = page(&folder, "lost-update");
    let dom = browse(&page, &["--dump-dom"]);
    // The console is a row of port accesses, which is shown once in the lanes and once in the
    // schedules.
    assert!(count(&dom, "more port accesses") >= 2, "each port by itself");
    // The failure was searched for directly, without one in real time before.
    let hidden = "at('observed-section').hidden + ' ' + at('sides-section').hidden";
    assert_eq!(ask(&folder, &page, hidden, 1280), "true false");
    let hover = r#"(() => {
        const step = [...document.querySelectorAll(".step")].find((it) => it.getAttribute("aria-label").includes("counter: reads"));
        step.dispatchEvent(new MouseEvent("mousemove", { bubbles: true, clientX: 200, clientY: 300 }));
        step.dispatchEvent(new MouseEvent("click", { bubbles: true }));
        return at("tip").textContent + (at("detail").textContent === at("tip").textContent ? " | selected" : "");
    })()"#;
    let told = ask(&folder, &page, hover, 1280);
    for part in ["vCPU 0: counter: reads 0x0", "0x450000, 8 bytes", "seen = counter", "add_one+"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.ends_with("| selected"), "{told}");
    // However narrow the window is, the first numbered access and the names of the lanes are
    // visible.
    let sight = r#"(() => {
        zoom(3);
        reveal();
        pin();
        const inside = (element) => {
            const [box, it] = [at("scroll").getBoundingClientRect(), element.getBoundingClientRect()];
            return it.left >= box.left && it.right <= box.right;
        };
        const scrolls = at("scroll").scrollLeft > 0;
        return [scrolls, inside(at("names").querySelector("text")), [...document.querySelectorAll(".badge")].some(inside)].join();
    })()"#;
    assert_eq!(ask(&folder, &page, sight, 500), "true,true,true");
}

fn the_page_needs_nothing_else() {
    let folder = Folder::new();
    let text = fs::read_to_string(page(&folder, "lost-wakeup")).unwrap();
    for outside in ["<link", "src=", "@import", "url(http", "fetch(", "https://"] {
        assert!(!text.contains(outside), "{outside} in the page");
    }
    // Without scripts the page shows the text for the terminal.
    assert!(text.contains("<noscript><pre>lost-wakeup, 2 vCPUs: proven hang"), "no text");
    assert!(!text.contains("{{"), "a part of the page is missing");
}

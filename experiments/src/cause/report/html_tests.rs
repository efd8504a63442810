use super::{data, escape};

#[test]
fn names_from_a_guest_stay_text() {
    let name = "</script><script>alert(1)</script>";
    let json = data(&serde_json::to_string(name).unwrap());
    assert!(!json.contains('<'), "{json}");
    assert_eq!(serde_json::from_str::<String>(&json).unwrap(), name);
    assert_eq!(escape("a<b>&\"c"), "a&lt;b&gt;&amp;\"c");
}

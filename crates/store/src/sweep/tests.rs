use super::*;
use longshore_reference::Digest;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn content(text: &str) -> String {
    let hex = Digest::sha256(text.as_bytes()).hex().to_string();
    format!("repositories/a.b/app/_content/sha256/{hex}")
}

fn sent(text: &str) -> String {
    let hex = Digest::sha256(text.as_bytes()).hex().to_string();
    format!("repositories/a.b/_sent/sha256/{hex}")
}

fn tag(digest_of: &str, checked: u64) -> String {
    let digest = Digest::sha256(digest_of.as_bytes());
    format!(
        r#"{{"upstream_digest":null,"digest":"{digest}","media_type":"a/b","size":1,"checked":{checked}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_use_goes_and_the_rest_stays() {
    let root = tempfile::tempdir().unwrap();
    let tier = Tier::of(root.path(), None).unwrap();
    let write = |key: &str, line: &str, age: Duration| {
        let path = root.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, line).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    };
    write(&layout::blob(&Digest::sha256(b"held")), "held", DAY);
    let now = crate::records::seconds(SystemTime::now());
    let tags = |name: &str| format!("repositories/a.b/app/deep/er/_tags/{name}");
    let lists = |name: &str| format!("repositories/a.b/app/_lists/tags/{name}");
    let origin = r#"{"size":1,"verified":true,"origin":{"v1_layer":{"id":"1"}}}"#;
    let rows = [
        (
            content("held"),
            r#"{"confirmed":true}"#.to_owned(),
            DAY,
            true,
        ),
        (
            content("gone"),
            r#"{"confirmed":true}"#.to_owned(),
            DAY,
            false,
        ),
        (
            content("new"),
            r#"{"confirmed":true}"#.to_owned(),
            Duration::ZERO,
            true,
        ),
        (sent("held"), "{}".to_owned(), 91 * DAY, true),
        (sent("gone"), "{}".to_owned(), DAY, false),
        (content("claim"), r#"{"size":7}"#.to_owned(), DAY, false),
        (content("layer"), origin.to_owned(), DAY, true),
        (content("old layer"), origin.to_owned(), 181 * DAY, false),
        (tags("held"), tag("held", now - 3600), DAY, true),
        (tags("gone"), tag("gone", now - 3600), DAY, false),
        (tags("old"), tag("held", now - 181 * 24 * 3600), DAY, false),
        (tags("broken"), "{".to_owned(), DAY, false),
        (lists("1"), "{}".to_owned(), DAY, true),
        (lists("2"), "{}".to_owned(), 91 * DAY, false),
    ];
    for (key, line, age, _) in &rows {
        write(key, line, *age);
    }
    let removed = round(&tier, SystemTime::now()).await;
    for (key, _, _, stays) in &rows {
        assert_eq!(root.path().join(key).exists(), *stays, "{key}");
    }
    assert_eq!(removed, rows.iter().filter(|row| !row.3).count());
    assert_eq!(round(&tier, SystemTime::now()).await, 0);
}

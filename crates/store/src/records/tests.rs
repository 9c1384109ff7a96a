use super::*;
use longshore_reference::Named;

fn canonical() -> Canonical {
    let named = Named::new("registry.example", "app").unwrap();
    Canonical::new(named, Digest::sha256(b"a layer"))
}

fn claimed(size: u64) -> ContentRecord {
    ContentRecord {
        size: Some(size),
        ..ContentRecord::default()
    }
}

#[tokio::test]
async fn no_claim_replaces_a_verified_size() {
    let root = tempfile::tempdir().unwrap();
    let local = Local::open(root.path(), None).unwrap();
    let (canonical, records) = (canonical(), || Records::new(local.clone(), None));
    let kept = records();
    for (put, held) in [
        (claimed(1), claimed(1)),
        (claimed(2), claimed(2)),
        (ContentRecord::default(), claimed(2)),
        (ContentRecord::verified(7), ContentRecord::verified(7)),
        (claimed(1), ContentRecord::verified(7)),
        (ContentRecord::default(), ContentRecord::verified(7)),
    ] {
        kept.put_content(&canonical, put).await;
        assert_eq!(*kept.content(&canonical).await.unwrap(), held);
        let again = records().content(&canonical).await.unwrap();
        assert_eq!(*again, held, "after a restart");
    }
}

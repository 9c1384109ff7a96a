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
    let tier = Tier::open(root.path(), None).unwrap();
    let (canonical, records) = (canonical(), || Records::new(tier.clone(), None));
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

#[tokio::test]
async fn what_is_known_of_content_is_not_masked_by_what_is_said_of_it_later() {
    let tracker = tokio_util::task::TaskTracker::new();
    tracker.close();
    let url = "memory:///".parse().unwrap();
    let bucket = Bucket::open(&url, tracker.clone(), Arc::new(|_| {})).unwrap();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let known = ContentRecord {
        stored: Some(Digest::sha256(b"elsewhere")),
        origin: Some(Origin::V1Layer { id: "1".into() }),
        ..ContentRecord::verified(7)
    };
    let open = |root: &tempfile::TempDir, bucket: Option<&Bucket>| {
        let tier = Tier::open(root.path(), None).unwrap();
        Records::new(tier, bucket.cloned())
    };
    let canonical = canonical();
    let records = open(&first, Some(&bucket));
    records.put_content(&canonical, known.clone()).await;
    tracker.wait().await;

    // A restart without the bucket, then one with an empty local tier, which alone has the bucket to look at.
    for (root, bucket) in [(&first, None), (&second, Some(&bucket))] {
        let records = open(root, bucket);
        records.put_content(&canonical, claimed(1)).await;
        assert_eq!(*records.content(&canonical).await.unwrap(), known);
        tracker.wait().await;
    }
    let third = tempfile::tempdir().unwrap();
    let records = open(&third, Some(&bucket));
    assert_eq!(*records.content(&canonical).await.unwrap(), known);
}

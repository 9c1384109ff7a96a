use super::*;

fn digest(seed: u8) -> Digest {
    Digest::sha256(&[seed])
}

fn list(outbox: &Outbox, digest: &Digest) {
    outbox.list_blob(digest).unwrap();
    outbox.queue_blob(digest);
}

fn take(outbox: &Outbox, lane: Lane) -> Option<Taken> {
    outbox.take(lane).ok()
}

fn reopened(root: &Path) -> Outbox {
    let outbox = Outbox::open(root).unwrap();
    outbox.scan().unwrap();
    outbox
}

const RECORD_KEY: &str = "repositories/example.org/app/_tags/1";

#[tokio::test]
async fn entries_survive_a_restart_until_they_are_done() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    list(&outbox, &digest(1));
    outbox.add_record(RECORD_KEY, false).unwrap();
    outbox
        .add_record("repositories/example.org/app/_tags/2", true)
        .unwrap();
    let taken = take(&outbox, Lane::Blobs).unwrap();
    outbox.failed(taken);
    drop(outbox);

    let outbox = reopened(root.path());
    assert_eq!(outbox.backlog().entries, 3);
    assert!(outbox.contains(&digest(1)) && !outbox.contains(&digest(2)));
    let blob = take(&outbox, Lane::Blobs).unwrap();
    assert_eq!(blob.item, Item::Blob(digest(1)));
    let mut records = [
        take(&outbox, Lane::Records).unwrap(),
        take(&outbox, Lane::Records).unwrap(),
    ];
    records.sort_by(|a, b| a.item.cmp(&b.item));
    assert_eq!(records.each_ref().map(|taken| taken.removed), [false, true]);
    let [put, _removed] = records;
    outbox.done(blob);
    outbox.done(put);
    drop(outbox);

    let outbox = reopened(root.path());
    assert_eq!(outbox.backlog().entries, 1, "the record that was not done");
    assert!(!outbox.contains(&digest(1)));
}

#[tokio::test]
async fn a_record_that_changes_while_it_is_sent_is_sent_again() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    outbox.add_record(RECORD_KEY, false).unwrap();
    outbox.add_record(RECORD_KEY, false).unwrap();
    let taken = take(&outbox, Lane::Records).unwrap();
    assert!(take(&outbox, Lane::Records).is_none(), "one entry for both");
    // A look at the folder finds the file of the attempt under way: that is no change.
    outbox.scan().unwrap();
    outbox.add_record(RECORD_KEY, true).unwrap();
    outbox.done(taken);
    let taken = take(&outbox, Lane::Records).unwrap();
    assert!(taken.removed);
    outbox.scan().unwrap();
    outbox.done(taken);
    assert_eq!(outbox.backlog().entries, 0);
    assert_eq!(reopened(root.path()).backlog().entries, 0);
}

#[tokio::test]
async fn a_blob_that_is_listed_twice_is_sent_once() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    list(&outbox, &digest(1));
    let taken = take(&outbox, Lane::Blobs).unwrap();
    list(&outbox, &digest(1));
    outbox.done(taken);
    assert!(take(&outbox, Lane::Blobs).is_none());
    assert_eq!(reopened(root.path()).backlog().entries, 0);
}

#[tokio::test]
async fn a_claimed_blob_is_not_taken() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    assert!(outbox.claim(&digest(1)) && !outbox.claim(&digest(1)));
    list(&outbox, &digest(1));
    assert!(take(&outbox, Lane::Blobs).is_none());
    assert!(outbox.contains(&digest(1)), "it is not evicted");
    outbox.release(&digest(1), false);
    let taken = take(&outbox, Lane::Blobs).unwrap();
    assert!(!outbox.claim(&digest(1)), "it is being sent");
    outbox.failed(taken);
    assert!(outbox.claim(&digest(1)));
    outbox.release(&digest(1), true);
    assert!(!outbox.contains(&digest(1)));
    assert_eq!(outbox.backlog().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_fails_waits_longer_each_time() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    list(&outbox, &digest(1));
    for delay in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let delay = Duration::from_secs(delay);
        let taken = take(&outbox, Lane::Blobs).unwrap();
        outbox.failed(taken);
        let due = outbox.take(Lane::Blobs).unwrap_err().unwrap();
        assert_eq!(due - Instant::now(), delay);
        tokio::time::advance(delay).await;
    }
    list(&outbox, &digest(2));
    assert!(take(&outbox, Lane::Blobs).is_some() && take(&outbox, Lane::Blobs).is_some());
}

#[tokio::test]
async fn memory_is_bounded_and_the_disk_has_the_rest() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    let all = IN_MEMORY_MAX as u64 + 20;
    for seed in 0..all {
        list(&outbox, &digest(seed as u8));
    }
    assert_eq!(outbox.backlog().entries, all);
    assert_eq!(outbox.state().entries.len(), IN_MEMORY_MAX);
    let mut sent = 0;
    while outbox.backlog().entries > 0 {
        while let Some(taken) = take(&outbox, Lane::Blobs) {
            outbox.done(taken);
            sent += 1;
        }
        assert!(outbox.wants_scan() || outbox.backlog().entries == 0);
        outbox.scan().unwrap();
    }
    assert_eq!(sent, all);
}

#[tokio::test]
async fn files_that_are_no_entries_are_left_out() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    let folder = root.path().join(layout::OUTBOX);
    let rows = [
        ("record-1", ""),
        ("record-2", "put repositories/example.org/app/_tags/1"),
        ("record-3", "put ../../etc/passwd\n"),
        ("record-4", "put repositories/../../etc/passwd\n"),
        ("record-5", "drop repositories/example.org/app/_tags/1\n"),
        ("record-6", "\u{fffd}\n"),
        ("sha256-12", ""),
        ("notes.txt", "hello"),
    ];
    for (name, text) in rows {
        fs::write(folder.join(name), text).unwrap();
    }
    outbox.scan().unwrap();
    assert_eq!(outbox.backlog().entries, 0);
    assert!(folder.join("notes.txt").exists(), "not ours");
}

#[tokio::test]
async fn uploads_of_dead_processes_are_found() {
    let root = tempfile::tempdir().unwrap();
    let outbox = reopened(root.path());
    let other = reopened(root.path());
    let note = outbox
        .uploads()
        .begin("blobs/sha256/00/00", "upload 1")
        .unwrap();
    assert!(other.uploads().unfinished().unwrap().is_empty(), "it lives");
    drop(note);
    let mut left = other.uploads().unfinished().unwrap();
    assert!(
        outbox.uploads().unfinished().unwrap().is_empty(),
        "another one has it"
    );
    let (key, id, note) = left.pop().unwrap();
    assert_eq!((&*key, &*id), ("blobs/sha256/00/00", "upload 1"));
    note.end();
    assert!(outbox.uploads().unfinished().unwrap().is_empty());
}

//! The limits of tenants and of the disk.

use super::*;

#[tokio::test]
async fn limits_are_those_of_the_tenant() {
    for store in stores().await {
        // A job of one document counts its content, its specification, and two rows.
        let rows = 2 * ROW_BYTES + "{\"a\":1}".len() as u64;
        let limits = JobLimits { unfinished: 2, bytes: 2 * rows + 10 };
        let of = async |tenant: &str, input: &str| {
            add_with(&*store, tenant, &[input], |job| job.limits = limits).await.1
        };
        assert_eq!(of("a", "12345").await, Added::New);
        assert_eq!(of("a", "123456").await, Added::TooManyBytes(2 * rows + 11));
        assert_eq!(of("b", "123456").await, Added::New, "another tenant has its own");
        assert_eq!(of("a", "1234").await, Added::New);
        assert_eq!(of("a", "1").await, Added::TooMany(2));
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.jobs, counts.bytes), ([3, 0, 0, 0, 0], 3 * rows + 15));
        // One of the refused inputs is also that of an accepted job.
        assert_eq!(store.blobs(), 3, "refused inputs are deleted at once");
    }
}

#[tokio::test]
async fn inputs_count_from_the_moment_that_they_are_staged() {
    for store in stores().await {
        let most = 3 * ROW_BYTES + 30;
        let staged = async |tenant: &str, input: &str| {
            store.stage(tenant.into(), Arc::new(input.as_bytes().to_vec()), most).await.unwrap()
        };
        let kept = [staged("a", "1234567890").await, staged("a", "abcdefghij").await];
        // Another document of the same submission, or of one at the same time.
        let Staged::TooManyBytes(bytes) = staged("a", "12345678901").await else {
            panic!("beyond the limit")
        };
        assert_eq!(bytes, most + 1);
        assert_eq!(store.blobs(), 2, "nothing of it is written");
        let Staged::Stored(other) = staged("b", "of another tenant").await else { panic!("its own limit") };
        drop((kept, other));
        store.has_blobs(0).await;
        // The bytes are released after the files.
        let end = Instant::now() + SOON;
        let blob = loop {
            match staged("a", "123").await {
                Staged::Stored(blob) => break blob,
                Staged::TooManyBytes(bytes) => assert!(Instant::now() < end, "{bytes} bytes"),
            }
        };
        // What a job keeps counts with it.
        let (mut job, _) = new_job(&*store, "a", &[]).await;
        let (digest, bytes) = (blob.digest().clone(), 3);
        job.documents.push(NewJobDocument { name: None, content_type: None, digest, bytes });
        assert_eq!(store.add(job, vec![blob]).await.unwrap(), Added::New);
        assert!(matches!(staged("a", "12345678901234567890").await, Staged::Stored(_)));
        assert!(matches!(staged("a", "123456789012345678901").await, Staged::TooManyBytes(_)));
    }
}

#[tokio::test]
async fn a_tenant_keeps_no_page_beyond_its_bytes() {
    for store in stores().await {
        let id = add(&*store, "a", &["1"]).await;
        add(&*store, "b", &["1"]).await;
        let held = claim(&*store, "t", 1, 9).await.unwrap().identity();
        let kept = 3 * ROW_BYTES + "{\"a\":1}1".len() as u64 + "result 0".len() as u64;
        let within = |index, tenant_bytes_max| NewPage { tenant_bytes_max, ..page(index, true) };
        let refused = store.page(held.clone(), 2, within(0, kept - 1)).await.unwrap();
        assert_eq!((refused, store.blobs()), (PageStored::TooManyBytes(kept), 1));
        assert_eq!(event_names(&*store, &id).await, ["queued", "running"]);
        assert_eq!(store.page(held.clone(), 3, within(0, kept)).await.unwrap(), PageStored::New);
        assert_eq!(store.page(held, 4, within(0, 0)).await.unwrap(), PageStored::Known, "it is kept already");
    }
}

#[tokio::test]
async fn without_the_reserve_of_the_disk_new_inputs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteJobStore::open(dir.path(), u64::MAX / 2).unwrap();
    let staged = async |store: &dyn JobStore| store.stage("a".into(), Arc::new(b"x".to_vec()), 9999).await;
    assert!(matches!(staged(&store).await, Err(StoreError::Full { .. })));
    drop(store);
    let store = open(dir.path()).await;
    assert!(staged(&store).await.is_ok());
    // And the pages of accepted jobs, so that they cannot use up what others need.
    add(&store, "a", &["1"]).await;
    drop(store);
    let store = reopened(|| SqliteJobStore::open(dir.path(), u64::MAX / 2)).await;
    let held = claim(&store, "t", 1000, 9).await.unwrap().identity();
    assert!(matches!(store.page(held, 1, page(0, true)).await, Err(StoreError::Full { .. })));
}

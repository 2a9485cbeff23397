//! Messages about the end of jobs, and the secrets that sign them.

use super::*;

#[tokio::test]
async fn messages_wait_are_delivered_or_given_up() {
    for mut store in stores().await {
        for tenant in ["a", "a", "b"] {
            let webhook = Some(format!("https://{tenant}.example/"));
            let (id, _) = add_with(&*store, tenant, &["1"], |job| job.webhook = webhook).await;
            delete(&*store, tenant, &id, 100).await.unwrap();
        }
        store.reopen().await;
        let due = async |at| store.due_deliveries(at, 9).await.unwrap();
        assert_eq!(store.next_due().await.unwrap(), Some(100));
        assert!(due(99).await.is_empty());
        let rows = due(100).await;
        assert_eq!(rows.len(), 3);
        assert!(
            rows[0].id.starts_with("msg_") && rows[0].state == JobState::Canceled && rows[0].attempts == 0
        );
        let attempt = |delivered, next_at_ms| DeliveryAttempt {
            delivered,
            next_at_ms,
            error: (!delivered).then(|| "no".to_owned()),
        };
        store.attempted(rows[0].seq, attempt(true, None)).await.unwrap();
        store.attempted(rows[1].seq, attempt(false, None)).await.unwrap();
        store.attempted(rows[2].seq, attempt(false, Some(300))).await.unwrap();
        store.reopen().await;
        assert!(store.due_deliveries(299, 9).await.unwrap().is_empty());
        let of = async |tenant: &str, dead, before, limit| {
            let query = DeliveryQuery { tenant: tenant.into(), dead, before, limit };
            store.deliveries(query).await.unwrap()
        };
        let dead = of(rows[1].tenant.as_str(), true, None, 9).await.rows;
        assert_eq!((dead.len(), dead[0].seq, dead[0].last_error.as_deref()), (1, rows[1].seq, Some("no")));
        let newest = of("a", false, None, 1).await;
        assert_eq!(newest.rows.len(), 1);
        let older = of("a", false, newest.next, 1).await;
        assert_eq!((older.rows.len(), older.next), (1, None));
        assert_eq!(store.counts().await.unwrap().deliveries, (1, 1));
        assert_eq!(of("b", false, None, 9).await.rows.len(), 1);
    }
}

#[tokio::test]
async fn a_message_goes_with_its_job_or_when_it_has_ended() {
    for store in stores().await {
        let url = |job: &mut NewJob| job.webhook = Some("https://a.example/".to_owned());
        let mut ids = Vec::new();
        for _ in 0..3 {
            let (id, _) = add_with(&*store, "a", &["1"], url).await;
            delete(&*store, "a", &id, 100).await.unwrap();
            ids.push(id);
        }
        let rows = store.due_deliveries(100, 9).await.unwrap();
        let attempt = |delivered, next_at_ms| DeliveryAttempt { delivered, next_at_ms, error: None };
        let jobs = async || {
            let query = DeliveryQuery { tenant: "a".into(), dead: false, before: None, limit: 9 };
            let rows = store.deliveries(query).await.unwrap().rows;
            rows.into_iter().map(|row| row.job).collect::<Vec<_>>()
        };
        store.attempted(rows[0].seq, attempt(true, None)).await.unwrap();
        assert_eq!(jobs().await.len(), 3, "a message stays with its job");
        assert_eq!(store.expire(u64::MAX >> 1, 9).await.unwrap(), 3);
        assert_eq!(jobs().await, [rows[2].job.clone(), rows[1].job.clone()], "and what waits stays");
        store.attempted(rows[1].seq, attempt(false, Some(200))).await.unwrap();
        store.attempted(rows[2].seq, attempt(false, None)).await.unwrap();
        assert_eq!(jobs().await, [rows[1].job.clone()]);
        store.attempted(rows[1].seq, attempt(true, None)).await.unwrap();
        assert!(jobs().await.is_empty());
    }
}

#[tokio::test]
async fn due_messages_are_some_of_each_tenant_by_their_time() {
    for store in stores().await {
        for (tenant, count) in [("flood", 9), ("b", 2), ("a", 1)] {
            for at in 0..count {
                let url = |job: &mut NewJob| job.webhook = Some("https://a.example/".to_owned());
                let (id, _) = add_with(&*store, tenant, &["1"], url).await;
                delete(&*store, tenant, &id, 100 + at).await.unwrap();
            }
        }
        let due = async |at, limit| -> Vec<(String, u64)> {
            let rows = store.due_deliveries(at, limit).await.unwrap();
            rows.into_iter().map(|row| (row.tenant.to_string(), row.created_at_ms)).collect()
        };
        let own = |rows: &[(String, u64)], tenant: &str| -> Vec<u64> {
            rows.iter().filter(|(of, _)| of == tenant).map(|(_, at)| *at).collect()
        };
        let rows = due(200, 9).await;
        assert!(rows.is_sorted_by_key(|(_, at)| *at), "{rows:?}");
        let each = [own(&rows, "flood"), own(&rows, "b"), own(&rows, "a")];
        assert_eq!(each, [vec![100, 101, 102, 103], vec![100, 101], vec![100]]);
        assert_eq!(due(200, 4).await.iter().map(|(_, at)| *at).collect::<Vec<_>>(), [100, 100, 100, 101]);
        assert_eq!(own(&due(100, 9).await, "flood"), [100]);
    }
}

#[tokio::test]
async fn a_tenant_has_its_newest_two_secrets() {
    for store in stores().await {
        let secrets =
            async |tenant: &str, new: &str| store.secrets(tenant.into(), new.to_owned(), 1).await.unwrap();
        assert_eq!(secrets("a", "s1").await, ["s1"]);
        assert_eq!(secrets("a", "unused").await, ["s1"]);
        store.rotate_secret("a".into(), "s2".to_owned(), 2).await.unwrap();
        assert_eq!(secrets("a", "unused").await, ["s2", "s1"]);
        store.rotate_secret("a".into(), "s3".to_owned(), 3).await.unwrap();
        assert_eq!(secrets("a", "unused").await, ["s3", "s2"]);
        assert_eq!(secrets("b", "t1").await, ["t1"]);
    }
}

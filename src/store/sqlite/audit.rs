//! The audit trail in SQLite.

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params, params_from_iter};

use super::Sqlite;
use crate::clock::Timestamp;
use crate::store::{Answer, AuditFilter, AuditRow, AuditStore, KnownBrowserStore};

impl AuditStore for Sqlite {
    fn append_audit(&self, rows: Vec<AuditRow>) -> Answer<()> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO audit (at, event, site, account, account_key, link_key, client, verdict, request_id, detail)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?;
                for row in rows {
                    insert.execute(params![
                        row.at.as_millis(),
                        row.event,
                        row.site,
                        row.account,
                        row.account_key,
                        row.link_key,
                        row.client.map(|client| client.to_string()),
                        row.verdict,
                        row.request_id,
                        row.detail,
                    ])?;
                }
            }
            transaction.commit()
        })
    }

    fn list_audit(&self, filter: AuditFilter) -> Answer<Vec<AuditRow>> {
        self.run(move |connection| {
            let (condition, values) = condition(filter);
            connection
                .prepare(&format!("SELECT * FROM audit WHERE {condition} ORDER BY id"))?
                .query_map(params_from_iter(values), audit_row)?
                .collect()
        })
    }

    fn prune_audit(&self, before: Timestamp, most: u64) -> Answer<usize> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut removed = transaction.execute("DELETE FROM audit WHERE at < ?1", [before.as_millis()])?;
            let count: i64 = transaction.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
            let over = count.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
            if over > 0 {
                removed += transaction.execute(
                    "DELETE FROM audit WHERE id IN (SELECT id FROM audit ORDER BY verdict = 'ok', id LIMIT ?1)",
                    [over],
                )?;
            }
            transaction.commit()?;
            Ok(removed)
        })
    }
}

impl KnownBrowserStore for Sqlite {
    fn revoke_browsers(&self, account: String, at: Timestamp) -> Answer<()> {
        self.run(move |connection| {
            let sql = "INSERT INTO browsers_revoked VALUES (?1, ?2)
                       ON CONFLICT (account) DO UPDATE SET at = max(at, excluded.at)";
            connection.prepare_cached(sql)?.execute(params![account, at.as_millis()]).map(|_| ())
        })
    }

    fn browsers_revoked(&self, account: String) -> Answer<Option<Timestamp>> {
        self.run(move |connection| {
            connection
                .prepare_cached("SELECT at FROM browsers_revoked WHERE account = ?1")?
                .query_row([account], |row| row.get(0).map(Timestamp::from_millis))
                .optional()
        })
    }

    fn prune_browsers(&self, before: Timestamp) -> Answer<usize> {
        self.run(move |connection| {
            connection.execute("DELETE FROM browsers_revoked WHERE at < ?1", [before.as_millis()])
        })
    }
}

/// The SQL condition of a filter, and what stands for its question marks.
fn condition(filter: AuditFilter) -> (String, Vec<Value>) {
    let marks = |count: usize| vec!["?"; count].join(", ");
    let (mut all, mut values): (Vec<String>, Vec<Value>) = (vec!["1".to_owned()], Vec::new());
    if let Some(site) = filter.site {
        all.push("site = ?".to_owned());
        values.push(site.into());
    }
    if let Some(since) = filter.since {
        all.push("at >= ?".to_owned());
        values.push(since.as_millis().into());
    }
    if !filter.events.is_empty() {
        all.push(format!("event IN ({})", marks(filter.events.len())));
        values.extend(filter.events.into_iter().map(Value::from));
    }
    if let Some(account) = filter.account {
        all.push(format!("(account = ? OR account_key IN ({}))", marks(account.keys.len())));
        values.push(account.name.into());
        values.extend(account.keys.into_iter().map(Value::from));
    }
    (all.join(" AND "), values)
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let client: Option<String> = row.get("client")?;
    let client = client
        .map(|client| client.parse())
        .transpose()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, Type::Text, Box::new(error)))?;
    Ok(AuditRow {
        at: Timestamp::from_millis(row.get("at")?),
        event: row.get("event")?,
        site: row.get("site")?,
        account: row.get("account")?,
        account_key: row.get("account_key")?,
        link_key: row.get("link_key")?,
        client,
        verdict: row.get("verdict")?,
        request_id: row.get("request_id")?,
        detail: row.get("detail")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::AuditAccount;

    fn row(at: i64, event: &str, verdict: &str, account: Option<&str>, key: &str) -> AuditRow {
        AuditRow {
            at: Timestamp::from_millis(at),
            event: event.to_owned(),
            site: if at % 2 == 0 { "even" } else { "odd" }.to_owned(),
            account: account.map(str::to_owned),
            account_key: Some(key.to_owned()),
            link_key: None,
            client: Some("2001:db8::1".parse().unwrap()),
            verdict: verdict.to_owned(),
            request_id: format!("r-{at}"),
            detail: String::new(),
        }
    }

    async fn moments(store: &Sqlite, filter: AuditFilter) -> Vec<i64> {
        store.list_audit(filter).await.unwrap().iter().map(|row| row.at.as_millis()).collect()
    }

    #[tokio::test]
    async fn filters_hold_together_and_rows_come_out_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path().join("gate.db")).unwrap();
        let operators = AuditRow { account_key: None, client: None, ..row(5, "c", "ok", Some("alice"), "") };
        let rows = vec![
            row(1, "a", "refused", None, "k1"),
            row(2, "b", "ok", Some("alice"), "k1"),
            row(3, "a", "ok", Some("bob"), "k2"),
            row(4, "a", "refused", None, "k2"),
            operators,
        ];
        store.append_audit(rows.clone()).await.unwrap();
        assert_eq!(store.list_audit(AuditFilter::default()).await.unwrap(), rows);
        let alice = AuditAccount { name: "alice".to_owned(), keys: vec!["k1".to_owned(), "k9".to_owned()] };
        let nobody = AuditAccount { name: "carol".to_owned(), keys: Vec::new() };
        let all = AuditFilter::default;
        for (name, filter, expected) in [
            ("site", AuditFilter { site: Some("odd".into()), ..all() }, vec![1, 3, 5]),
            ("since", AuditFilter { since: Some(Timestamp::from_millis(4)), ..all() }, vec![4, 5]),
            ("events", AuditFilter { events: vec!["b".into(), "c".into()], ..all() }, vec![2, 5]),
            ("account", AuditFilter { account: Some(alice.clone()), ..all() }, vec![1, 2, 5]),
            ("nobody", AuditFilter { account: Some(nobody), ..all() }, vec![]),
            ("two", AuditFilter { account: Some(alice), site: Some("even".into()), ..all() }, vec![2]),
        ] {
            assert_eq!(moments(&store, filter).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn pruning_takes_the_old_and_then_of_too_many_the_failures_first() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path().join("gate.db")).unwrap();
        let verdicts = ["ok", "ok", "refused", "limited", "ok", "refused"];
        let rows = (1..).zip(verdicts).map(|(at, verdict)| row(at, "a", verdict, None, "k")).collect();
        store.append_audit(rows).await.unwrap();
        assert_eq!(store.prune_audit(Timestamp::from_millis(2), 100).await.unwrap(), 1);
        assert_eq!(store.prune_audit(Timestamp::from_millis(2), 3).await.unwrap(), 2);
        assert_eq!(moments(&store, AuditFilter::default()).await, [2, 5, 6]);
    }

    #[tokio::test]
    async fn the_last_revocation_of_an_account_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(folder.path().join("gate.db")).unwrap();
        let at = Timestamp::from_millis;
        assert_eq!(store.browsers_revoked("k".to_owned()).await.unwrap(), None);
        for moment in [5, 9, 7] {
            store.revoke_browsers("k".to_owned(), at(moment)).await.unwrap();
        }
        assert_eq!(store.browsers_revoked("k".to_owned()).await.unwrap(), Some(at(9)));
        assert_eq!(store.prune_browsers(at(9)).await.unwrap(), 0);
        assert_eq!(store.prune_browsers(at(10)).await.unwrap(), 1);
    }
}

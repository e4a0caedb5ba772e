//! Held forms in the SQLite file.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::Sqlite;
use crate::clock::Timestamp;
use crate::store::{Answer, HeldClaim, HeldFate, HeldForms, HeldId, HeldLine, HeldOwner, HeldRoom, HeldRow};

/// What takes a network, or all, back under its bounds: the newest stay. `?1` is the network, or NULL for all.
const MAKE_ROOM: &str = "
    DELETE FROM held_form WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER newest AS forms, sum(size) OVER newest AS bytes
            FROM held_form WHERE ?1 IS NULL OR network = ?1
            WINDOW newest AS (ORDER BY created DESC, rowid DESC ROWS UNBOUNDED PRECEDING)
        ) WHERE forms > ?2 OR bytes > ?3
    )";

impl HeldForms for Sqlite {
    fn insert_held(&self, row: HeldRow, room: HeldRoom) -> Answer<()> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let network = row.network.to_be_bytes();
            transaction.execute("DELETE FROM held_form WHERE expires <= ?1", [row.created.as_millis()])?;
            transaction
                .prepare_cached(
                    "INSERT INTO held_form (id, browser, site, user, network, created, expires, size, head, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    row.id.0,
                    row.owner.browser,
                    row.owner.site,
                    row.owner.user,
                    network,
                    row.created.as_millis(),
                    row.expires.as_millis(),
                    whole(row.body.len() as u64),
                    row.head,
                    row.body,
                ])?;
            let mut make_room = transaction.prepare_cached(MAKE_ROOM)?;
            make_room.execute(params![network, whole(room.network_count), whole(room.network_bytes)])?;
            make_room.execute(params![
                None::<[u8; 16]>,
                whole(room.total_count),
                whole(room.total_bytes)
            ])?;
            drop(make_room);
            transaction.commit()
        })
    }

    fn list_held(&self, owner: HeldOwner, now: Timestamp) -> Answer<Vec<HeldLine>> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "SELECT id, created, head, unclear FROM held_form
                     WHERE browser = ?1 AND site = ?2 AND user = ?3 AND expires > ?4 ORDER BY created, rowid",
                )?
                .query_map(params![owner.browser, owner.site, owner.user, now.as_millis()], |row| {
                    Ok(HeldLine {
                        id: HeldId(row.get(0)?),
                        created: Timestamp::from_millis(row.get(1)?),
                        head: row.get(2)?,
                        unclear: row.get(3)?,
                    })
                })?
                .collect()
        })
    }

    fn claim_held(
        &self,
        id: HeldId,
        owner: HeldOwner,
        now: Timestamp,
        stale: Timestamp,
    ) -> Answer<HeldClaim> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found = transaction
                .query_row(
                    "SELECT claimed, head, body FROM held_form
                     WHERE id = ?1 AND browser = ?2 AND site = ?3 AND user = ?4 AND expires > ?5",
                    params![id.0, owner.browser, owner.site, owner.user, now.as_millis()],
                    |row| Ok((row.get::<_, Option<i64>>(0)?, row.get(1)?, row.get(2)?)),
                )
                .optional()?;
            let Some((claimed, head, body)) = found else { return Ok(HeldClaim::Gone) };
            // A claim from ahead is one from before the clock was set back.
            if claimed.is_some_and(|at| at > stale.as_millis() && at <= now.as_millis()) {
                return Ok(HeldClaim::Busy);
            }
            // Whoever dies while sending leaves it so: nobody can tell.
            transaction.execute(
                "UPDATE held_form SET claimed = ?2, unclear = 1 WHERE id = ?1",
                params![id.0, now.as_millis()],
            )?;
            transaction.commit()?;
            Ok(HeldClaim::Yours { head, body })
        })
    }

    fn settle_held(&self, id: HeldId, fate: HeldFate) -> Answer<()> {
        self.run(move |connection: &mut Connection| {
            let change = match fate {
                HeldFate::Sent => "DELETE FROM held_form WHERE id = ?1",
                HeldFate::NotSent => "UPDATE held_form SET claimed = NULL, unclear = 0 WHERE id = ?1",
                HeldFate::Unclear => "UPDATE held_form SET claimed = NULL, unclear = 1 WHERE id = ?1",
            };
            connection.execute(change, [id.0]).map(|_| ())
        })
    }

    fn discard_held(&self, id: HeldId, owner: HeldOwner) -> Answer<bool> {
        self.run(move |connection| {
            let removed = connection.execute(
                "DELETE FROM held_form WHERE id = ?1 AND browser = ?2 AND site = ?3 AND user = ?4",
                params![id.0, owner.browser, owner.site, owner.user],
            )?;
            Ok(removed > 0)
        })
    }

    fn sweep_held(&self, now: Timestamp, ahead: Timestamp) -> Answer<usize> {
        self.run(move |connection| {
            connection.execute(
                "DELETE FROM held_form WHERE expires <= ?1 OR created > ?2",
                [now.as_millis(), ahead.as_millis()],
            )
        })
    }
}

/// SQLite's integers end earlier.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

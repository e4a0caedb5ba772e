//! Local users and their reset links in SQLite.

use std::net::IpAddr;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::Sqlite;
use crate::account;
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::{
    Accounts, Answer, Groups, IssuedReset, Known, NewReset, NewUser, Opening, Redemption, SessionKey,
    UserChange, UserRow,
};

impl Accounts for Sqlite {
    fn add_user(&self, user: NewUser) -> Answer<bool> {
        self.run(move |connection| {
            let set = user.password.as_ref().map(|_| user.created.as_millis());
            let added = connection.execute(
                "INSERT INTO local_user (site, canonical, name, mail, mail_key, groups, password, version, disabled,
                 created, password_set) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 0, ?8, ?9) ON CONFLICT DO NOTHING",
                params![
                    user.site,
                    user.canonical,
                    user.name,
                    user.mail,
                    user.mail.as_deref().map(account::canonical),
                    user.groups.to_text(),
                    user.password.as_ref().map(Secret::expose),
                    user.created.as_millis(),
                    set,
                ],
            )?;
            Ok(added > 0)
        })
    }

    fn find_user(&self, site: String, known: Known) -> Answer<Option<UserRow>> {
        self.run(move |connection| {
            let (name, mail) = match known {
                Known::Name(name) => (name, None),
                Known::NameOrMail(text) => (text.clone(), Some(text)),
            };
            let named = connection
                .prepare_cached("SELECT * FROM local_user WHERE site = ?1 AND canonical = ?2")?
                .query_row(params![site, name], user_row)
                .optional()?;
            let Some(mail) = mail.filter(|_| named.is_none()) else { return Ok(named) };
            let mut all = connection
                .prepare_cached("SELECT * FROM local_user WHERE site = ?1 AND mail_key = ?2 LIMIT 2")?;
            let mut found = all.query_map(params![site, mail], user_row)?.collect::<Result<Vec<_>, _>>()?;
            Ok(found.pop().filter(|_| found.is_empty()))
        })
    }

    fn list_users(&self, site: Option<String>) -> Answer<Vec<UserRow>> {
        self.run(move |connection| {
            connection
                .prepare("SELECT * FROM local_user WHERE ?1 IS NULL OR site = ?1 ORDER BY site, canonical")?
                .query_map([site], user_row)?
                .collect()
        })
    }

    fn change_user(&self, id: i64, change: UserChange, at: Timestamp, sites: Vec<String>) -> Answer<bool> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = change_user(&transaction, id, &change, at, &sites)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    fn issue_reset(&self, reset: NewReset) -> Answer<()> {
        self.run(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction
                .execute("DELETE FROM issued_reset WHERE requested < ?1", [reset.forget_before.as_millis()])?;
            void_resets(&transaction, reset.user.id, reset.requested)?;
            transaction.execute(
                "INSERT INTO issued_reset (token_hash, site, user_id, user, requested, requested_from, request_id, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    reset.key.0,
                    reset.user.site,
                    reset.user.id,
                    reset.user.name,
                    reset.requested.as_millis(),
                    reset.requested_from.to_string(),
                    reset.request_id,
                    reset.expires.as_millis(),
                ],
            )?;
            transaction.commit()
        })
    }

    fn open_reset(&self, opening: Opening) -> Answer<Option<IssuedReset>> {
        self.run(move |connection| {
            let found = find_reset(connection, &opening.key.0)?;
            let Some(reset) = found else { return Ok(None) };
            let binds = reset.browser.is_none() && opening.browser.is_some();
            let live = reset.used.is_none() && reset.void.is_none() && opening.at < reset.expires;
            if !live || (reset.opened.is_some() && !binds) {
                return Ok(Some(reset));
            }
            // Another process may be faster; what is there already stays.
            connection.execute(
                "UPDATE issued_reset SET opened = coalesce(opened, ?2), opened_from = coalesce(opened_from, ?3),
                 browser = coalesce(browser, ?4) WHERE token_hash = ?1",
                params![opening.key.0, opening.at.as_millis(), opening.from.to_string(), opening.browser],
            )?;
            find_reset(connection, &opening.key.0)
        })
    }

    fn redeem_reset(&self, redemption: Redemption) -> Answer<bool> {
        self.run(move |connection| {
            let Redemption { key, user_id, password, at, from, browser, sites } = redemption;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // This one statement decides who of many was first.
            let won = transaction.execute(
                "UPDATE issued_reset SET used = ?2, used_from = ?3
                 WHERE token_hash = ?1 AND used IS NULL AND void IS NULL AND expires > ?2 AND user_id = ?4
                   AND (browser IS NULL OR browser = ?5)
                   AND EXISTS (SELECT 1 FROM local_user WHERE id = ?4 AND NOT disabled)",
                params![key.0, at.as_millis(), from.to_string(), user_id, browser],
            )?;
            if won != 1 {
                return Ok(false);
            }
            let change = UserChange::Password { hash: password, at, except: None, version: None };
            if !change_user(&transaction, user_id, &change, at, &sites)? {
                return Ok(false);
            }
            transaction.commit()?;
            Ok(true)
        })
    }

    fn list_resets(&self, since: Timestamp) -> Answer<Vec<IssuedReset>> {
        self.run(move |connection| {
            connection
                .prepare("SELECT * FROM issued_reset WHERE requested >= ?1 ORDER BY requested DESC")?
                .query_map([since.as_millis()], reset_row)?
                .collect()
        })
    }
}

/// What every change comes to; the caller commits.
fn change_user(
    transaction: &Transaction<'_>,
    id: i64,
    change: &UserChange,
    at: Timestamp,
    sites: &[String],
) -> rusqlite::Result<bool> {
    let changed = match change {
        UserChange::Rehashed { version, hash } => {
            let sql = "UPDATE local_user SET password = ?3 WHERE id = ?1 AND version = ?2";
            return Ok(transaction.execute(sql, params![id, version, hash.expose()])? > 0);
        }
        UserChange::Mail(mail) => {
            let sql = "UPDATE local_user SET mail = ?2, mail_key = ?3 WHERE id = ?1";
            let done =
                transaction.execute(sql, params![id, mail, mail.as_deref().map(account::canonical)])?;
            void_resets(transaction, id, at)?;
            return Ok(done > 0);
        }
        UserChange::Password { hash, at, version, .. } => transaction.execute(
            "UPDATE local_user SET password = ?2, password_set = ?3, version = version + 1
             WHERE id = ?1 AND version = coalesce(?4, version)",
            params![id, hash.expose(), at.as_millis(), version],
        )?,
        UserChange::Groups(groups) => transaction.execute(
            "UPDATE local_user SET groups = ?2, version = version + 1 WHERE id = ?1",
            params![id, groups.to_text()],
        )?,
        UserChange::Disabled(disabled) => transaction.execute(
            "UPDATE local_user SET disabled = ?2, version = version + 1 WHERE id = ?1",
            params![id, disabled],
        )?,
        UserChange::Removed => {
            transaction.execute("UPDATE local_user SET version = version + 1 WHERE id = ?1", [id])?
        }
    };
    if changed == 0 {
        return Ok(false);
    }
    let except = match change {
        UserChange::Password { except, .. } => *except,
        _ => None,
    };
    end_sessions(transaction, id, sites, except)?;
    void_resets(transaction, id, at)?;
    if matches!(change, UserChange::Removed) {
        transaction.execute("DELETE FROM local_user WHERE id = ?1", [id])?;
    }
    Ok(true)
}

/// A session bears the name of a local user as it is stored.
fn end_sessions(
    transaction: &Transaction<'_>,
    id: i64,
    sites: &[String],
    except: Option<SessionKey>,
) -> rusqlite::Result<()> {
    let mut end = transaction.prepare_cached(
        "DELETE FROM session WHERE site = ?2 AND user = (SELECT name FROM local_user WHERE id = ?1)
         AND (?3 IS NULL OR id_hash <> ?3)",
    )?;
    for site in sites {
        end.execute(params![id, site, except.map(|key| key.0)])?;
    }
    Ok(())
}

fn void_resets(transaction: &Transaction<'_>, user_id: i64, at: Timestamp) -> rusqlite::Result<()> {
    let sql = "UPDATE issued_reset SET void = ?2 WHERE user_id = ?1 AND used IS NULL AND void IS NULL";
    transaction.execute(sql, params![user_id, at.as_millis()]).map(|_| ())
}

fn find_reset(connection: &Connection, key: &[u8; 32]) -> rusqlite::Result<Option<IssuedReset>> {
    connection
        .prepare_cached("SELECT * FROM issued_reset WHERE token_hash = ?1")?
        .query_row([key], reset_row)
        .optional()
}

fn user_row(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get("id")?,
        site: row.get("site")?,
        name: row.get("name")?,
        mail: row.get("mail")?,
        groups: Groups::of_text(&row.get::<_, String>("groups")?),
        password: row.get::<_, Option<String>>("password")?.map(Secret::new),
        version: row.get("version")?,
        disabled: row.get("disabled")?,
        created: Timestamp::from_millis(row.get("created")?),
        password_set: moment(row, "password_set")?,
    })
}

fn reset_row(row: &Row<'_>) -> rusqlite::Result<IssuedReset> {
    let requested_from: String = row.get("requested_from")?;
    Ok(IssuedReset {
        site: row.get("site")?,
        user_id: row.get("user_id")?,
        user: row.get("user")?,
        requested: Timestamp::from_millis(row.get("requested")?),
        requested_from: address(&requested_from)?,
        request_id: row.get("request_id")?,
        expires: Timestamp::from_millis(row.get("expires")?),
        opened: moment(row, "opened")?,
        opened_from: row.get::<_, Option<String>>("opened_from")?.as_deref().map(address).transpose()?,
        browser: row.get("browser")?,
        used: moment(row, "used")?,
        used_from: row.get::<_, Option<String>>("used_from")?.as_deref().map(address).transpose()?,
        void: moment(row, "void")?,
    })
}

fn moment(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

fn address(text: &str) -> rusqlite::Result<IpAddr> {
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests;

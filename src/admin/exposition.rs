//! `/metrics`: all counts as text for Prometheus (OpenMetrics 1.0).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{response, text};
use crate::acme::Report;
use crate::forward::{Class, Load};
use crate::observe::metrics::{Histogram, Metrics, SiteMetrics, Tally};
use crate::state::Shared;

const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn answer(shared: &Shared) -> Response<Full<Bytes>> {
    let mut registry = Registry::with_prefix("lychgate");
    registry.register_collector(Box::new(Snapshot::of(shared)));
    let mut out = String::new();
    match prometheus_client::encoding::text::encode(&mut out, &registry) {
        Ok(()) => response(StatusCode::OK, KIND, out),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be shown\n"),
    }
}

/// What is shown of one site.
#[derive(Debug)]
struct OfSite {
    name: String,
    sessions: usize,
    /// Whether each backend is up, in their order.
    backends: Vec<bool>,
    load: Arc<Load>,
    metrics: Arc<SiteMetrics>,
}

/// What is shown.
#[derive(Debug)]
struct Snapshot {
    sites: Vec<OfSite>,
    metrics: Arc<Metrics>,
    limited: Arc<Tally>,
    certificates: Vec<Report>,
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

impl Snapshot {
    fn of(shared: &Shared) -> Self {
        let sites = shared.sites.iter().map(|site| OfSite {
            name: site.name.clone(),
            sessions: shared.sessions.list(Some(&site.name), None).len(),
            backends: (0..site.backends.members().len()).map(|at| site.backends.is_up(at)).collect(),
            load: Arc::clone(&site.load),
            metrics: Arc::clone(&site.metrics),
        });
        Self {
            sites: sites.collect(),
            metrics: Arc::clone(&shared.metrics),
            limited: Arc::clone(shared.limits.limited()),
            certificates: shared.acme.reports(),
        }
    }

    /// The sites, and what came to none of them.
    fn places(&self) -> impl Iterator<Item = (&str, &SiteMetrics)> {
        let sites = self.sites.iter().map(|site| (site.name.as_str(), site.metrics.as_ref()));
        sites.chain([("-", &self.metrics.nowhere)])
    }

    fn tallies(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        labels: [&str; 2],
        tally: impl Fn(&SiteMetrics) -> &Tally,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (site, metrics) in self.places() {
            counts(&mut metric, Some(site), labels, tally(metrics))?;
        }
        Ok(())
    }

    /// Those that the gate fetches by itself.
    fn certificates(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "When a certificate that the gate fetched is over, in seconds since 1970";
        let mut metric = encoder.encode_descriptor(
            "certificate_expiry_timestamp_seconds",
            help,
            None,
            MetricType::Gauge,
        )?;
        for report in &self.certificates {
            let Some(ends) = report.ends else { continue };
            let labels: Labels<'_> = vec![("name", &report.name)];
            metric.encode_family(&labels)?.encode_gauge(&ends.as_millis().div_euclid(1000))?;
        }
        let help = "Attempts to fetch a certificate, by what became of them";
        let mut metric = encoder.encode_descriptor("certificate_orders", help, None, MetricType::Counter)?;
        for report in &self.certificates {
            for (outcome, count) in [("issued", report.issued), ("failed", report.failed)] {
                let labels: Labels<'_> = vec![("name", &report.name), ("outcome", outcome)];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        Ok(())
    }

    /// What the backends work on, and what was not let there.
    fn loads(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let all = || self.sites.iter().flat_map(|site| Class::ALL.map(|class| (site, class)));
        let labels = |site: &'_ OfSite, class: Class| {
            vec![("site", site.name.clone()), ("who", class.as_str().to_owned())]
        };
        let help = "Requests that the backends work on, by whether somebody is signed in";
        let mut metric = encoder.encode_descriptor("requests_in_flight", help, None, MetricType::Gauge)?;
        for (site, class) in all() {
            metric.encode_family(&labels(site, class))?.encode_gauge(&site.load.in_flight(class))?;
        }
        let help = "Requests refused because the backends worked on too many";
        let mut metric = encoder.encode_descriptor("overload_refusals", help, None, MetricType::Counter)?;
        for (site, class) in all() {
            let count = site.load.refusals(class);
            metric.encode_family(&labels(site, class))?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        Ok(())
    }

    fn histograms(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        histogram: impl Fn(&SiteMetrics) -> &Histogram,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (site, metrics) in self.places() {
            let histogram = histogram(metrics);
            let buckets = histogram.buckets();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let labels: Labels<'_> = vec![("site", site)];
            let mut metric = metric.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(histogram.seconds(), count, &buckets, None)?;
        }
        Ok(())
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (encoder, all) = (&mut encoder, &self.metrics);
        let version: Labels<'_> = vec![("version", env!("CARGO_PKG_VERSION"))];
        let mut metric =
            encoder.encode_descriptor("build", "The version that runs", None, MetricType::Info)?;
        metric.encode_info(&version)?;
        self.tallies(
            encoder,
            ("requests", "Requests by what was decided and how they ended"),
            ["verdict", "status"],
            |site| &site.requests,
        )?;
        self.histograms(
            encoder,
            ("request_duration_seconds", "From the head of a request to the head of its answer"),
            |site| &site.took,
        )?;
        self.histograms(
            encoder,
            ("backend_duration_seconds", "How much of that was the backend's"),
            |site| &site.backend,
        )?;
        self.tallies(
            encoder,
            (
                "leaks",
                "Internal names in answers that no rule maps; with leaks = \"block\" they were withheld",
            ),
            ["place", ""],
            |site| &site.leaks,
        )?;
        self.tallies(encoder, ("sign_ins", "Attempts to sign in"), ["verdict", ""], |site| &site.sign_ins)?;
        self.tallies(
            encoder,
            ("resets", "Steps of the forgotten-password process"),
            ["step", "verdict"],
            |site| &site.resets,
        )?;
        let mut metric =
            encoder.encode_descriptor("sessions", "Who is signed in", None, MetricType::Gauge)?;
        for site in &self.sites {
            let labels: Labels<'_> = vec![("site", &site.name)];
            metric.encode_family(&labels)?.encode_gauge(&(site.sessions as u64))?;
        }
        let help = "Whether a backend is up (1) or left out (0), by its place in backend_url";
        let mut metric = encoder.encode_descriptor("backend_up", help, None, MetricType::Gauge)?;
        for site in &self.sites {
            for (at, is_up) in site.backends.iter().enumerate() {
                let at = at.to_string();
                let labels: Labels<'_> = vec![("site", &site.name), ("backend", &at)];
                metric.encode_family(&labels)?.encode_gauge(&u64::from(*is_up))?;
            }
        }
        self.loads(encoder)?;
        for (name, help, labels, tally) in [
            ("limited", "Attempts that were one too many", ["action", "by"], self.limited.as_ref()),
            ("mails", "Messages of the CMS by what became of them", ["outcome", ""], &all.mails),
            ("mail_addresses", "Internal addresses in them", ["outcome", ""], &all.mail_addresses),
            ("mail_parts_left", "Parts of them that were left alone", ["reason", ""], &all.mail_parts),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counts(&mut metric, None, labels, tally)?;
        }
        self.certificates(encoder)?;
        for (now, total, level, help) in [
            ("connections_open", "connections", &all.connections, "Connections of clients"),
            ("tunnels_open", "tunnels", &all.tunnels, "Connections that became tunnels, such as WebSockets"),
        ] {
            encoder.encode_descriptor(now, help, None, MetricType::Gauge)?.encode_gauge(&level.now())?;
            encoder
                .encode_descriptor(total, help, None, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, f64>(&level.total(), None)?;
        }
        Ok(())
    }
}

/// Every count of `tally`; a label without a name is left out.
fn counts(
    metric: &mut MetricEncoder<'_>,
    site: Option<&str>,
    labels: [&str; 2],
    tally: &Tally,
) -> fmt::Result {
    let mut counts = tally.counts();
    counts.sort_unstable();
    for ((first, second), count) in counts {
        let names = [("site", site.unwrap_or_default()), (labels[0], first), (labels[1], second)];
        let names: Labels<'_> = names
            .into_iter()
            .filter(|(name, _)| !name.is_empty() && (*name != "site" || site.is_some()))
            .collect();
        metric.encode_family(&names)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
    }
    Ok(())
}

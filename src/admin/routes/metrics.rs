//! `GET /metrics`: what [`Status`] says, in the text format of OpenMetrics, for Prometheus and its like.
//!
//! Nothing is counted here: the two pages cannot disagree. Counters are since the start of the process, those of
//! the DNS since the resolver was made.

use super::super::Desk;
use super::super::reply::Failure;
use super::status::{Answered, Configuration, Dns, FrontEnd, Status};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use policy_core::verdict::{Action, OUTCOMES};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers.
pub(super) async fn metrics(State(desk): State<Arc<Desk>>) -> Result<impl IntoResponse, Failure> {
    let unwritten = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written");
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], page(Status::of(&desk)).map_err(unwritten)?))
}

fn page(status: Status) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tempfail");
    registry.register_collector(Box::new(status));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}

impl Collector for Status {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.of_process(&mut page)?;
        self.of_decisions(&mut page)?;
        self.of_memory(&mut page)?;
        self.dns.as_ref().map_or(Ok(()), |dns| dns.write(&mut page))?;
        self.of_lists(&mut page)?;
        self.of_model(&mut page)
    }
}

impl Status {
    fn of_process(&self, page: &mut Page<'_>) -> fmt::Result {
        page.info("build", "The program", &[("version", self.version.as_str())])?;
        let seconds = Some(Unit::Seconds);
        page.gauge("uptime", "Time since the start", seconds, self.uptime_seconds as f64)?;
        let modes = ["off", "observe", "enforce"];
        let modes = modes.map(|mode| ([("mode", mode)], truth(self.mode.mode == mode)));
        page.gauges("mode", "The mode in force", None, modes)?;
        let help = "Whether so many decisions hang that none is begun any more";
        page.gauge("stuck", help, None, truth(self.stuck))?;
        let help = "Whether the last write of the state went well";
        page.gauge("state_durable", help, None, truth(self.state.durable))?;
        page.counter("reloads", "Configurations taken over", self.decisions.reloads)?;
        self.of_configuration(page)
    }

    fn of_configuration(&self, page: &mut Page<'_>) -> fmt::Result {
        let Configuration { since, not_reloaded } = &self.configuration;
        let help = "Whether the configuration was taken over when it was last read";
        page.gauge("config_last_reload_successful", help, None, truth(not_reloaded.is_none()))?;
        // It was written from a time just now, so it can be read.
        let since = humantime::parse_rfc3339(since).unwrap_or(SystemTime::UNIX_EPOCH);
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let help = "When the configuration in force was taken over, in Unix time";
        let name = "config_last_reload_success_timestamp";
        page.gauge(name, help, Some(Unit::Seconds), since.as_secs_f64())
    }

    fn of_decisions(&self, page: &mut Page<'_>) -> fmt::Result {
        let asked = self.front_ends.iter().map(|end| ([("protocol", end.protocol.as_str())], end.questions));
        page.counters("questions", "Questions of mail servers", asked)?;
        self.of_connections(page)?;
        let mut decided = possible(&self.front_ends);
        for counted in &self.decisions.by_reason {
            let would = counted.would.as_deref().unwrap_or(&counted.action);
            decided.insert([&counted.protocol, &counted.action, would, &counted.reason], counted.count);
        }
        let decided = decided.into_iter().map(|([protocol, action, verdict, reason], count)| {
            ([("protocol", protocol), ("action", action), ("verdict", verdict), ("reason", reason)], count)
        });
        page.counters("decisions", "What was answered, and what the verdict was", decided)?;
        self.of_answers(page)?;
        let help = "Questions whose answer said nothing new";
        page.counter("quiet_questions", help, self.decisions.quiet)?;
        let help = "Reports of what became of mail";
        page.counter("reports", help, self.decisions.reports)
    }

    fn of_answers(&self, page: &mut Page<'_>) -> fmt::Result {
        let ends = self.front_ends.iter().map(|end| ([("protocol", end.protocol.as_str())], &end.answered));
        let help = "Time from a question to its answer, lookups included";
        page.histograms("answer_duration", help, Some(Unit::Seconds), ends)
    }

    fn of_connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let ends =
            || self.front_ends.iter().map(|end| ([("protocol", end.protocol.as_str())], end.connections));
        let open = ends().map(|(label, connections)| (label, connections.open as f64));
        page.gauges("connections_open", "Connections of mail servers", None, open)?;
        let max = ends().map(|(label, connections)| (label, connections.max as f64));
        page.gauges("connections_max", "The most connections of mail servers", None, max)?;
        let refused = ends().map(|(label, connections)| (label, connections.refused));
        page.counters("connections_refused", "Connections closed at once, being too many", refused)
    }

    fn of_memory(&self, page: &mut Page<'_>) -> fmt::Result {
        let tables = || self.memory.tables.iter();
        let bytes = tables().map(|table| ([("table", table.table.as_str())], table.bytes as f64));
        page.gauges("memory", "Octets that a table takes", Some(Unit::Bytes), bytes)?;
        let entries = tables().map(|table| ([("table", table.table.as_str())], table.entries as f64));
        page.gauges("entries", "Entries of a table", None, entries)?;
        let most = tables().map(|table| ([("table", table.table.as_str())], table.capacity as f64));
        page.gauges("entries_max", "The most entries of a table", None, most)?;
        if let Some(resident) = self.memory.resident {
            let help = "What the whole process has in memory";
            page.gauge("resident_memory", help, Some(Unit::Bytes), resident as f64)?;
        }
        let most = self.memory.max as f64;
        page.gauge("memory_max", "The most that all tables may take", Some(Unit::Bytes), most)
    }

    fn of_lists(&self, page: &mut Page<'_>) -> fmt::Result {
        let lists = || self.lists.iter().map(|list| ([("list", list.list.as_str())], list));
        let in_order = lists().map(|(label, list)| (label, truth(list.standing == "in-order")));
        page.gauges("list_in_order", "Whether a DNS list has passed its test", None, in_order)?;
        let asked = lists().map(|(label, list)| (label, list.asked));
        page.counters("list_questions", "Questions to a DNS list", asked)?;
        let failed = lists().map(|(label, list)| (label, list.failed));
        page.counters("list_failures", "Questions to a DNS list without an answer", failed)
    }

    fn of_model(&self, page: &mut Page<'_>) -> fmt::Result {
        let model = &self.model;
        page.counter("labels", "Labels that the model has learned from", model.labels)?;
        let losses = [("learned", model.loss), ("shipped", model.shipped_loss)];
        let losses = losses.map(|(weights, loss)| ([("weights", weights)], f64::from(loss)));
        page.gauges("model_loss", "Mean log loss of late, in nats", None, losses)?;
        let help = "How often the model went back to the weights that ship";
        page.counter("model_fallbacks", help, model.fallbacks)
    }
}

impl Dns {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Whether nothing is asked because no server answers";
        page.gauge("dns_suspended", help, None, truth(self.suspended_for.is_some()))?;
        page.counter("dns_questions", "Questions to the resolver", self.questions)?;
        page.counter("dns_cache_hits", "Questions answered from memory", self.hits)?;
        page.counter("dns_sent", "Questions sent to a server", self.sent)?;
        page.counter("dns_timeouts", "Questions that no server answered", self.timed_out)?;
        let help = "Questions that a server failed at (SERVFAIL, REFUSED)";
        page.counter("dns_server_failures", help, self.server_failed)?;
        let help = "Questions not asked: nobody answers, or too many wait";
        page.counter("dns_not_asked", help, self.not_asked)?;
        page.gauge("dns_waiting", "Questions that wait for their turn", None, self.waiting as f64)
    }
}

/// Every decision that may be made, none of which has been: a series that begins when something happens for the first
/// time has no increase that an alert could see.
fn possible(front_ends: &[FrontEnd]) -> BTreeMap<[&str; 4], u64> {
    let mut all = BTreeMap::new();
    for end in front_ends {
        for (reason, actions) in OUTCOMES {
            for verdict in actions.iter().map(|action| action.word()) {
                // Observing, what would be deferred passes.
                for action in [verdict, Action::Accept.word()] {
                    all.insert([end.protocol.as_str(), action, verdict, reason], 0);
                }
            }
        }
    }
    all
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The page, metric by metric.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn info(&mut self, name: &str, help: &str, labels: &impl EncodeLabelSet) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(labels)
    }

    fn histograms<'s, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (L, &'s Answered)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        values.into_iter().try_for_each(|(labels, Answered { seconds, buckets })| {
            let all: Vec<(f64, u64)> =
                buckets.iter().map(|bucket| (bucket.within.unwrap_or(f64::INFINITY), bucket.count)).collect();
            let count = all.iter().map(|(_, count)| count).sum();
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(*seconds, count, &all, None)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        let mut values = values.into_iter();
        values.try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }
}

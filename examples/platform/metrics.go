package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wechatpay-cards/membercard"
)

// metrics count the attempts of calls, and read the rest from the database when they are asked for. Nothing in them is personal.
type metrics struct {
	registry *prometheus.Registry
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(store *store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wechatpay_attempts_total", Help: "Attempts of calls to WeChat Pay, retries included. Status 0: no answer.",
		}, []string{"operation", "status", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "wechatpay_attempt_duration_seconds", Help: "Time of an attempt.", Buckets: []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10},
		}, []string{"operation"}),
	}
	m.registry.MustRegister(m.attempts, m.duration, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), numbersOf{store})
	return m
}

// onAttempt is the membercard.Config.OnAttempt.
func (m *metrics) onAttempt(_ context.Context, a membercard.Attempt) {
	m.attempts.WithLabelValues(string(a.Operation), strconv.Itoa(a.StatusCode), a.Code).Inc()
	m.duration.WithLabelValues(string(a.Operation)).Observe(a.Duration.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// numbersOf collects what is in the database.
type numbersOf struct{ *store }

// numbers are the queries: each asks for two labels and a number.
var numbers = []struct {
	*prometheus.Desc
	query string
}{
	{
		prometheus.NewDesc("platform_members", "Cards in the books.", []string{"state", "unsent"}, nil),
		`SELECT state, CASE WHEN points_sent < points_version THEN 'points' WHEN details_sent < details_version THEN 'details' ELSE '' END AS unsent,
		COUNT(*) FROM members GROUP BY state, unsent`,
	},
	{prometheus.NewDesc("platform_jobs", "Jobs of River.", []string{"kind", "state"}, nil), countJobs},
	{
		prometheus.NewDesc("platform_attention", "Jobs in doubt, and jobs for a person to decide.", []string{"kind", "state"}, nil),
		"SELECT kind, state, COUNT(*) FROM attention GROUP BY kind, state",
	},
	{
		prometheus.NewDesc("platform_import_rows", "Rows of imports.", []string{"import", "state"}, nil),
		"SELECT import_id, state, COUNT(*) FROM import_rows GROUP BY import_id, state",
	},
}

// Describe implements prometheus.Collector.
func (numbersOf) Describe(all chan<- *prometheus.Desc) {
	for _, n := range numbers {
		all <- n.Desc
	}
}

// Collect implements prometheus.Collector.
func (n numbersOf) Collect(all chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, number := range numbers {
		found, err := n.counts(ctx, number.query)
		if err != nil {
			all <- prometheus.NewInvalidMetric(number.Desc, err)
			continue
		}
		for _, c := range found {
			all <- prometheus.MustNewConstMetric(number.Desc, prometheus.GaugeValue, float64(c.N), c.What, c.More)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// metrics answers /metrics in Prometheus' text format, on an address of its own: figures are for operators, not for visitors.
func (v *service) metrics(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		text, err := v.figures(r.Context())
		if err != nil {
			v.log.Warn("the figures of text messages are not known", "error", err) // the others are
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(text))
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// figures is everything there is to tell.
func (v *service) figures(ctx context.Context) (string, error) {
	var out strings.Builder
	put := func(name, kind, help string, value int64) {
		fmt.Fprintf(&out, "# HELP portvakt_%s %s\n# TYPE portvakt_%s %s\nportvakt_%s %d\n", name, help, name, kind, name, value)
	}
	reads, writes := v.db.Trips()
	put("database_reads_total", "counter", "Round trips that read.", reads)
	put("database_writes_total", "counter", "Round trips that write.", writes)
	put("goroutines", "gauge", "Goroutines of this process.", int64(runtime.NumGoroutine()))
	texts := v.texts.Stats()
	open := int64(0)
	if texts.Open {
		open = 1
	}
	put("sms_sent_total", "counter", "Text messages that the provider took from this process.", texts.Sent)
	put("sms_failed_total", "counter", "Text messages that it did not.", texts.Failed)
	put("sms_waiting", "gauge", "Text messages that wait to be sent.", texts.Waiting)
	put("sms_breaker_open", "gauge", "1 while the provider is taken to be down.", open)
	day, err := v.notify.Day(ctx)
	if err != nil {
		return out.String(), err
	}
	put("sms_day_sent", "gauge", "Text messages of the present 24 hours, over every instance.", int64(day.Sent))
	put("sms_day_used", "gauge", "How many of their codes were used.", int64(day.Used))
	put("sms_day_limit", "gauge", "The budget of 24 hours.", int64(day.Limit))
	return out.String(), nil
}

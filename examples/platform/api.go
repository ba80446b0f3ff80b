package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
)

// handler is what the service answers: WeChat Pay's notifications, the staff, the merchant's own programs, and who watches over it.
func (s *service) handler(staff http.Handler, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /notify", func(w http.ResponseWriter, r *http.Request) {
		s.keys.clientFor(r).NotificationHandler(s.receive).ServeHTTP(w, r)
	})
	mux.Handle("/staff/", staff)
	mux.Handle("GET /{$}", http.RedirectHandler("/staff/", http.StatusSeeOther))
	mux.HandleFunc("POST /points", program(s, func(ctx context.Context, in struct {
		cardName
		ID     string `json:"id"` // of the sale: it is booked once
		Points int64  `json:"points"`
	},
	) error {
		if in.ID == "" || in.Points == 0 {
			return badRequestError("id, that of the sale, and points other than 0 are required")
		}
		return s.addPoints(ctx, "sale-"+in.ID, in.cardName, in.Points, nil)
	}))
	mux.HandleFunc("POST /details", program(s, func(ctx context.Context, in struct {
		cardName
		Level       string `json:"level"`
		PhoneNumber string `json:"phone_number"`
	},
	) error {
		if in.Level == "" && in.PhoneNumber == "" {
			return badRequestError("level or phone_number is required")
		}
		if len(in.PhoneNumber) > 64 {
			return badRequestError("phone_number is too long")
		}
		return s.store.inTx(ctx, func(tx *sql.Tx) error { return s.changeDetails(ctx, tx, in.cardName, in.Level, in.PhoneNumber) })
	}))
	mux.HandleFunc("POST /invalidations", program(s, func(ctx context.Context, in struct {
		cardName
		Consent string `json:"consent"` // who wanted it
	},
	) error {
		if in.Consent == "" {
			return badRequestError("consent is required: who wanted it")
		}
		return s.store.inTx(ctx, func(tx *sql.Tx) error { return s.requestInvalidation(ctx, tx, in.cardName, in.Consent, "程序") })
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.store.db.PingContext(r.Context()); err != nil {
			http.Error(w, "the database cannot be reached", http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

// badRequestError says what is missing.
type badRequestError string

func (b badRequestError) Error() string { return string(b) }

// program is the handler of a request in JSON of a program of the merchant's, which shows its token.
func program[T any](s *service, do func(context.Context, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if wanted := s.keys.current.Load().token; wanted == "" || !bearer || !sameToken(token, wanted) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the token of api_token.txt is required", http.StatusUnauthorized)
			return
		}
		var in T
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
		body.DisallowUnknownFields() // a misspelt one would be booked as nothing
		if err := body.Decode(&in); err != nil {
			http.Error(w, "the body is not the expected JSON: "+err.Error(), http.StatusBadRequest)
			return
		}
		err := do(r.Context(), in)
		if bad, ok := errors.AsType[badRequestError](err); ok {
			http.Error(w, bad.Error(), http.StatusBadRequest)
			return
		}
		switch {
		case errors.Is(err, errNoMember):
			http.Error(w, err.Error(), http.StatusNotFound)
		case errors.Is(err, errOther), errors.Is(err, errTooLittle):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			s.logger.LogAttrs(r.Context(), slog.LevelError, "not stored", slog.String("path", r.URL.Path), slog.Any("error", err))
			http.Error(w, "not stored, send it again", http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// sameToken compares without telling by its time where they differ.
func sameToken(a, b string) bool { return sha256.Sum256([]byte(a)) == sha256.Sum256([]byte(b)) }

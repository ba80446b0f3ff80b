package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/wechatpay-cards/membercard"
)

// service is the merchant's side: what is to be done is a job, in the transaction of what it is about.
type service struct {
	client *membercard.Client
	store  *store
	jobs   *river.Client[*sql.Tx]
	logger *slog.Logger
}

// Times. A job ends before another process may take it for lost, also when the machines' clocks are a minute apart.
const (
	jobTimeout  = 20 * time.Second
	rescueAfter = 90 * time.Second
	callTimeout = 12 * time.Second // of a call with its repeats
	atOnce      = 3 * time.Second  // for what a user is looking at
)

// newService makes a service on a database. config is the client's; its Throttle becomes the store's.
func newService(config membercard.Config, store *store, logger *slog.Logger) (*service, error) {
	config.Throttle, config.Logger = store.throttle, logger
	client, err := membercard.New(config)
	if err != nil {
		return nil, err
	}
	s := &service{client: client, store: store, logger: logger}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker[notificationJob]{run: s.notified, refused: s.refused})
	river.AddWorker(workers, &worker[balanceJob]{run: s.sendBalance, refused: s.refused})
	river.AddWorker(workers, &worker[invalidationJob]{run: s.invalidate, refused: s.refused})
	river.AddWorker(workers, &worker[levelJob]{run: s.changeLevel, refused: s.refused})
	s.jobs, err = river.NewClient(store.driver, &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 16}}, Workers: workers, Logger: logger,
		JobTimeout: jobTimeout, RescueStuckJobsAfter: rescueAfter, RetryPolicy: retryPolicy{}, MaxAttempts: 1000,
		FetchPollInterval: 200 * time.Millisecond,
	})
	return s, err
}

// retryPolicy is that of jobs that failed: soon, then every minute.
type retryPolicy struct{}

// NextRetry returns when a job runs again.
func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(min(time.Second<<min(len(job.Errors), 6), time.Minute))
}

// finalError is a refusal that a repeat does not change: a person has to decide.
type finalError struct{ error }

// worker runs one kind of job. again: it ran before, and may have been carried out.
type worker[T river.JobArgs] struct {
	river.WorkerDefaults[T]
	run     func(ctx context.Context, args T, again bool) error
	refused func(ctx context.Context, job *rivertype.JobRow, err error) error
}

// Work says what the end of a job means: what the rate did not permit comes again without counting, what is in doubt is looked at
// when it comes again, and a refusal is shown to a person.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error {
	err := w.run(ctx, job.Args, job.Attempt > 1)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, membercard.ErrOutcomeUnknown):
		return err
	case errors.Is(err, errBusy), errors.Is(err, errLeased), errors.Is(err, membercard.ErrRateLimited):
		return river.JobSnooze(time.Second + rand.N(3*time.Second))
	}
	if final, ok := errors.AsType[finalError](err); ok {
		return errors.Join(w.refused(ctx, job.JobRow, final), river.JobCancel(final))
	}
	return err
}

// refused puts a refusal before a person.
func (s *service) refused(ctx context.Context, job *rivertype.JobRow, refusal error) error {
	_, err := s.store.changed(ctx, nil, "INSERT INTO decisions (job, kind, why, at) VALUES (?1, ?2, ?3, NOW) ON CONFLICT DO NOTHING", job.ID, job.Kind, refusal.Error())
	return err
}

// judged marks a refusal of the service as final.
func judged(err error) error {
	if errors.Is(err, membercard.ErrOutcomeUnknown) {
		return err
	}
	for _, refusal := range []error{membercard.ErrInvalidParameter, membercard.ErrInvalidRequest, membercard.ErrNotFound, membercard.ErrForbidden, membercard.ErrAlreadyExists} {
		if errors.Is(err, refusal) {
			return finalError{err}
		}
	}
	return err
}

// notificationJob deals with a notification that is stored.
type notificationJob struct {
	ID string `json:"id"`
}

// Kind names the job.
func (notificationJob) Kind() string { return "notification" }

// receive is the handler: it stores a notification as it came, with the job, and answers. What a user waits for is tried at once.
func (s *service) receive(ctx context.Context, n *membercard.Notification) error {
	options := &river.InsertOpts{}
	_, isQuestion := n.Event.(*membercard.PointsSyncRequested)
	_, isExchange := n.Event.(*membercard.PointsExchangeRequested)
	if isQuestion || isExchange {
		options.ScheduledAt = time.Now().Add(2 * atOnce) // should the try fail
	}
	added := false
	err := s.store.inTx(ctx, func(tx *sql.Tx) (err error) {
		added, err = s.store.changed(ctx, tx, "INSERT INTO notifications (id, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING", n.ID, string(n.Body))
		if err == nil && added {
			_, err = s.jobs.InsertTx(ctx, tx, notificationJob{n.ID}, options)
		}
		return err
	})
	if err == nil && added && (isQuestion || isExchange) {
		tryCtx, cancel := context.WithTimeout(ctx, atOnce)
		defer cancel()
		if err := s.act(tryCtx, n, false); err == nil {
			return s.done(ctx, n.ID)
		}
	}
	return err
}

func (s *service) done(ctx context.Context, id string) error {
	_, err := s.store.changed(ctx, nil, "UPDATE notifications SET done = 1 WHERE id = ?1", id)
	return err
}

// notified deals with a stored notification.
func (s *service) notified(ctx context.Context, job notificationJob, again bool) error {
	var body string
	var done bool
	err := s.store.db.QueryRowContext(ctx, s.store.sql("SELECT body, done FROM notifications WHERE id = ?1"), job.ID).Scan(&body, &done)
	if err != nil || done {
		return err
	}
	n, err := s.client.OpenNotification([]byte(body))
	if err != nil {
		return err
	}
	if err := s.act(ctx, n, again); err != nil {
		return err
	}
	return s.done(ctx, n.ID)
}

// act does what a notification asks for.
func (s *service) act(ctx context.Context, n *membercard.Notification, again bool) error {
	switch event := n.Event.(type) {
	case *membercard.UserCardCreated:
		if event.UserCardCode == "" { // CodeModeMerchantAllocate: the same at each run
			event.UserCardCode = strings.ReplaceAll(n.ID, "-", "")
		}
		return s.confirm(ctx, event.UserCard, again)
	case *membercard.UserCardDeleted:
		return s.store.addMember(ctx, event.UserCard, membercard.UserCardStateInvalid)
	case *membercard.PointsSyncRequested: // the balance counts as unsent
		_, err := s.store.changed(ctx, nil, "UPDATE members SET sent = -1 WHERE card_id = ?1 AND user_card_code = ?2", event.CardID, event.UserCardCode)
		if err != nil {
			return err
		}
		return s.sendBalance(ctx, balanceJob{cardName{event.CardID, event.UserCardCode}}, again)
	case *membercard.PointsExchangeRequested:
		return s.exchange(ctx, event)
	}
	s.logger.WarnContext(ctx, "an unknown event is stored", "event_type", n.EventType)
	return nil
}

// confirm completes the opening of a card, once: what may have been done is looked at first.
func (s *service) confirm(ctx context.Context, card membercard.UserCard, again bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if !again {
		_, err := s.client.ConfirmUserCard(ctx, membercard.ConfirmUserCardRequest{
			UserCardCode: card.UserCardCode, CardID: card.CardID, BrandID: card.BrandID, OpenID: card.OpenID,
			UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
		})
		if err == nil {
			return s.store.addMember(ctx, card, membercard.UserCardStateEffective)
		}
		if _, final := errors.AsType[finalError](judged(err)); !final {
			return err
		}
	}
	now, err := s.client.GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID})
	switch {
	case err == nil && now.UserCardState == membercard.UserCardStateUnactivated, errors.Is(err, membercard.ErrNotFound) && again: // it was not carried out
		if again {
			return s.confirm(ctx, card, false)
		}
		return finalError{errors.New("the confirm was refused, and the card waits for one")}
	case err != nil:
		return judged(err)
	}
	return s.store.addMember(ctx, card, now.UserCardState)
}

// cardName names a card.
type cardName struct {
	CardID       string `json:"card_id"`
	UserCardCode string `json:"user_card_code"`
}

// balanceJob sends the balance of a card, as it then is.
type balanceJob struct{ cardName }

// Kind names the job.
func (balanceJob) Kind() string { return "balance" }

var errLeased = errors.New("another request about this card is under way")

// addPoints books points once for each id, and has the new balance sent.
func (s *service) addPoints(ctx context.Context, id string, card cardName, points int64) error {
	err := s.store.inTx(ctx, func(tx *sql.Tx) error {
		_, added, err := s.store.book(ctx, tx, id, card.CardID, card.UserCardCode, points)
		if err == nil && !added {
			err = errBooked
		}
		if err == nil {
			_, err = s.jobs.InsertTx(ctx, tx, balanceJob{card}, nil)
		}
		return err
	})
	if errors.Is(err, errBooked) {
		return nil
	}
	return err
}

var errBooked = errors.New("it was booked before")

// sendBalance sends the balance where WeChat Pay does not have it. One request about a card is under way at a time, so that an older
// balance cannot overtake a newer one; after doubt the card waits until the request must be over.
func (s *service) sendBalance(ctx context.Context, job balanceJob, _ bool) error {
	m, err := s.store.claim(ctx, job.CardID, job.UserCardCode)
	if errors.Is(err, errNoMember) {
		if _, err := s.store.member(ctx, nil, job.CardID, job.UserCardCode); err != nil {
			return err
		}
		return errLeased
	}
	if err != nil {
		return err
	}
	if m.sent >= m.version {
		return s.store.release(ctx, m, m.sent)
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = s.client.SyncUserPoints(callCtx, membercard.SyncUserPointsRequest{
		OutRequestNo: fmt.Sprintf("%s-%d", m.code, m.version), BrandID: m.brandID, CardID: m.cardID, OpenID: m.openID,
		UserCardCode: m.code, PointBalance: m.balance,
	})
	switch {
	case err == nil:
		return s.store.release(ctx, m, m.version)
	case errors.Is(err, membercard.ErrOutcomeUnknown):
		return err
	}
	return errors.Join(judged(err), s.store.release(context.WithoutCancel(ctx), m, m.sent))
}

// exchange takes points off and allows an exchange, and gives them back when no coupon was issued.
func (s *service) exchange(ctx context.Context, event *membercard.PointsExchangeRequested) error {
	card := cardName{event.CardID, event.UserCardCode}
	allowed, err := s.takeOff(ctx, "exchange-"+event.RecordID, card, event.DeductPoints)
	if err != nil {
		return err
	}
	request := membercard.ConfirmPointsExchangeRequest{
		RecordID: event.RecordID, ExchangeCouponTemplateID: event.ExchangeCouponTemplateID,
		BrandID: event.BrandID, CardID: event.CardID, OpenID: event.OpenID, UserCardCode: event.UserCardCode,
		Result: membercard.PointsExchangeResultAllow,
	}
	if !allowed {
		request.Result, request.RejectReason = membercard.PointsExchangeResultReject, "积分不足"
	}
	answer, err := s.client.ConfirmPointsExchange(ctx, request)
	if err != nil {
		return judged(err)
	}
	if allowed && answer.State == membercard.PointsExchangeStateFail {
		return s.addPoints(ctx, "exchange-back-"+event.RecordID, card, event.DeductPoints)
	}
	return nil
}

// takeOff takes points off, where there are enough. The ledger keeps what was decided, so that it is the same when it is asked again.
func (s *service) takeOff(ctx context.Context, id string, card cardName, points int64) (allowed bool, err error) {
	err = s.store.inTx(ctx, func(tx *sql.Tx) error {
		decided, found, err := s.store.booked(ctx, tx, id)
		if err != nil || found {
			allowed = decided != 0
			return err
		}
		m, err := s.store.member(ctx, tx, card.CardID, card.UserCardCode)
		if err != nil {
			return err
		}
		if allowed = m.balance >= points; !allowed {
			points = 0
		}
		m, added, err := s.store.book(ctx, tx, id, card.CardID, card.UserCardCode, -points)
		if err == nil && (!added || m.balance < 0) {
			err = errLeased // another came in between: this one is undone
		}
		if err == nil {
			_, err = s.jobs.InsertTx(ctx, tx, balanceJob{card}, nil)
		}
		return err
	})
	return allowed, err
}

// invalidationJob invalidates a card for good.
type invalidationJob struct{ cardName }

// Kind names the job.
func (invalidationJob) Kind() string { return "invalidation" }

// requestInvalidation has a card invalidated. consent says who wanted it.
func (s *service) requestInvalidation(ctx context.Context, card cardName, consent string) error {
	if _, err := s.store.member(ctx, nil, card.CardID, card.UserCardCode); err != nil {
		return err
	}
	return s.store.inTx(ctx, func(tx *sql.Tx) error {
		added, err := s.store.changed(ctx, tx, "INSERT INTO invalidations (card_id, user_card_code, consent, at) VALUES (?1, ?2, ?3, NOW) ON CONFLICT DO NOTHING", card.CardID, card.UserCardCode, consent)
		if err == nil && added {
			_, err = s.jobs.InsertTx(ctx, tx, invalidationJob{card}, nil)
		}
		return err
	})
}

// invalidate invalidates a card once: what may have been done is looked at first.
func (s *service) invalidate(ctx context.Context, job invalidationJob, again bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := s.store.member(ctx, nil, job.CardID, job.UserCardCode)
	if err != nil {
		return err
	}
	card := membercard.UserCard{CardID: m.cardID, UserCardCode: m.code, BrandID: m.brandID, OpenID: m.openID}
	if again {
		now, err := s.client.GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: m.brandID, CardID: m.cardID, UserCardCode: m.code, OpenID: m.openID})
		if err != nil {
			return err
		}
		if now.UserCardState == membercard.UserCardStateInvalid {
			return s.store.addMember(ctx, card, membercard.UserCardStateInvalid)
		}
	}
	_, err = s.client.InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{
		BrandID: m.brandID, CardID: m.cardID, UserCardCode: m.code, OpenID: m.openID, InvalidReason: "用户申请注销",
	})
	if err != nil {
		return judged(err)
	}
	return s.store.addMember(ctx, card, membercard.UserCardStateInvalid)
}

// levelJob changes a member's level.
type levelJob struct {
	cardName
	Level string `json:"level"`
}

// Kind names the job.
func (levelJob) Kind() string { return "level" }

// changeLevel changes a level; it may be done twice.
func (s *service) changeLevel(ctx context.Context, job levelJob, _ bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := s.store.member(ctx, nil, job.CardID, job.UserCardCode)
	if err != nil {
		return err
	}
	_, err = s.client.UpdateUserCard(ctx, membercard.UpdateUserCardRequest{BrandID: m.brandID, CardID: m.cardID, UserCardCode: m.code, OpenID: m.openID, Level: &job.Level})
	return judged(err)
}

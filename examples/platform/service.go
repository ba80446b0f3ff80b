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
	keys   *keys
	store  *store
	jobs   *river.Client[*sql.Tx]
	logger *slog.Logger
	now    func() time.Time // the machine's clock, as River has it
}

// Times. A job ends before another process may take it for lost, also when the machines' clocks are a minute apart.
const (
	jobTimeout  = 20 * time.Second
	rescueAfter = 90 * time.Second
	callTimeout = 12 * time.Second // of a call with its retries
	atOnce      = 3 * time.Second  // for what a user is looking at
)

// Queues: an import does not stand in the way of what a user waits for.
const queueImports = "imports"

// newService makes a service on a database.
func newService(keys *keys, store *store, logger *slog.Logger, test river.TestConfig) (*service, error) {
	s := &service{keys: keys, store: store, logger: logger, now: time.Now}
	if test.Time != nil {
		s.now = test.Time.Now
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker[notificationJob]{service: s, run: s.handleNotification})
	river.AddWorker(workers, &worker[balanceJob]{service: s, run: s.sendBalance})
	river.AddWorker(workers, &worker[detailsJob]{service: s, run: s.sendDetails})
	river.AddWorker(workers, &worker[invalidationJob]{service: s, run: s.invalidate})
	river.AddWorker(workers, &worker[importJob]{service: s, run: s.importRow})
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, _ *river.Job[cleaningJob]) error { return s.clean(ctx) }))
	var err error
	s.jobs, err = river.NewClient(store.driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 16}, queueImports: {MaxWorkers: 8}},
		Workers: workers, Logger: logger,
		JobTimeout: jobTimeout, RescueStuckJobsAfter: rescueAfter, RetryPolicy: retryPolicy{s.now}, MaxAttempts: 1000,
		FetchPollInterval: 200 * time.Millisecond, CancelledJobRetentionPeriod: keepDecisions,
		PeriodicJobs: []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
			func() (river.JobArgs, *river.InsertOpts) { return cleaningJob{}, nil }, &river.PeriodicJobOpts{RunOnStart: true})},
		Test: test,
	})
	return s, err
}

// retryPolicy is that of jobs that failed: soon, then every minute.
type retryPolicy struct{ now func() time.Time }

// NextRetry returns when a job runs again.
func (p retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	return p.now().Add(min(time.Second<<min(len(job.Errors), 6), time.Minute))
}

// finalError is a refusal that a retry does not change: a person has to decide.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// jobArgs are what a job is about.
type jobArgs interface {
	river.JobArgs
	name() cardName
}

// worker runs one kind of job. again: it ran before, and may have been carried out.
type worker[T jobArgs] struct {
	river.WorkerDefaults[T]
	service *service
	run     func(ctx context.Context, args T, again bool) error
}

// Work says what the end of a job means: what the rate did not permit comes again without counting, and what is in doubt is looked at
// when it comes again. A refusal is shown to a person, and so is the last try.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[T]) error {
	store := w.service.store
	if job.Attempt > 1 {
		refused, err := store.isOpen(ctx, job.ID)
		if err != nil {
			return err
		}
		if refused { // the process was killed before River noted it
			return river.JobCancel(errors.New("it was refused"))
		}
	}
	err := w.run(ctx, job.Args, job.Attempt > 1)
	show := func(state string, why error) error {
		return store.setAttention(context.WithoutCancel(ctx), job.ID, job.Kind, job.Args.name(), state, why.Error())
	}
	_, final := errors.AsType[finalError](err)
	inDoubt := errors.Is(err, membercard.ErrOutcomeUnknown)
	switch {
	case err == nil:
		return store.settle(ctx, job.ID, job.Kind, job.Args.name())
	case !inDoubt && (errors.Is(err, errBusy) || errors.Is(err, errLeased) || errors.Is(err, membercard.ErrRateLimited)):
		return river.JobSnooze(time.Second + rand.N(3*time.Second)) // it does not count as a try, so it must not be one in doubt
	case final, job.Attempt >= job.MaxAttempts:
		if err := show(attentionOpen, err); err != nil {
			return err
		}
		return river.JobCancel(err)
	case inDoubt:
		return errors.Join(err, show(attentionDoubt, err))
	}
	return err
}

// markFinal marks a refusal of the service as final.
func markFinal(err error) error {
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
	cardName
	ID string `json:"id"`
}

// Kind names the job.
func (notificationJob) Kind() string { return "notification" }

// receive is the handler: it stores a notification as it came, with the job, and answers. What a user waits for is tried at once.
func (s *service) receive(ctx context.Context, n *membercard.Notification) error {
	_, isQuestion := n.Event.(*membercard.PointsSyncRequested)
	_, isExchange := n.Event.(*membercard.PointsExchangeRequested)
	options, tried := &river.InsertOpts{}, 0
	if isQuestion || isExchange {
		options.ScheduledAt, tried = s.now().Add(2*atOnce), 1 // should the try fail: the job then knows of it, also after a crash
	}
	added := false
	err := s.store.inTx(ctx, func(tx *sql.Tx) (err error) {
		added, err = s.store.exec(ctx, tx, "INSERT INTO notifications (id, body, tried, at) VALUES (?1, ?2, ?3, NOW) ON CONFLICT DO NOTHING", n.ID, string(n.Body), tried)
		if err == nil && added {
			_, err = s.jobs.InsertTx(ctx, tx, notificationJob{cardName{n.CardID, n.UserCardCode}, n.ID}, options)
		}
		return err
	})
	if err == nil && added && tried == 1 {
		s.tryAtOnce(ctx, n)
	}
	return err
}

// tryAtOnce does what a user is looking at, if that is possible at once. If not, the job does it.
func (s *service) tryAtOnce(ctx context.Context, n *membercard.Notification) {
	ctx, cancel := context.WithTimeout(ctx, atOnce)
	defer cancel()
	err := s.act(ctx, n, false)
	for errors.Is(err, errLeased) && ctx.Err() == nil { // another request about this card is about to end
		time.Sleep(100 * time.Millisecond)
		err = s.act(ctx, n, false)
	}
	if err == nil {
		err = s.done(ctx, n.ID)
	}
	if err != nil {
		s.logger.WarnContext(ctx, "not done at once", "event_type", n.EventType, "error", err)
	}
}

func (s *service) done(ctx context.Context, id string) error {
	_, err := s.store.exec(ctx, nil, "UPDATE notifications SET done = 1, body = '' WHERE id = ?1", id)
	return err
}

// handleNotification deals with a stored notification.
func (s *service) handleNotification(ctx context.Context, job notificationJob, again bool) error {
	var body string
	var done, tried bool
	err := s.store.queryRow(ctx, nil, "SELECT body, done = 1, tried = 1 FROM notifications WHERE id = ?1", job.ID).Scan(&body, &done, &tried)
	if err != nil || done {
		return err
	}
	n, err := s.keys.openNotification([]byte(body))
	if err != nil {
		return err
	}
	if err := s.act(ctx, n, again || tried); err != nil {
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
		return s.store.addMember(ctx, nil, event.UserCard, membercard.UserCardStateInvalid)
	case *membercard.PointsSyncRequested: // the balance counts as unsent
		_, err := s.store.exec(ctx, nil, "UPDATE members SET points_sent = -1 WHERE card_id = ?1 AND user_card_code = ?2", event.CardID, event.UserCardCode)
		if err != nil {
			return err
		}
		return s.sendBalance(ctx, balanceJob{cardName{event.CardID, event.UserCardCode}}, again)
	case *membercard.PointsExchangeRequested:
		return s.exchange(ctx, event, again)
	}
	s.logger.WarnContext(ctx, "an unknown event is stored", "event_type", n.EventType)
	return nil
}

// confirm completes the opening of a card, once: what may have been done is looked at first.
func (s *service) confirm(ctx context.Context, card membercard.UserCard, again bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if !again {
		_, err := s.keys.client().ConfirmUserCard(ctx, membercard.ConfirmUserCardRequest{
			UserCardCode: card.UserCardCode, CardID: card.CardID, BrandID: card.BrandID, OpenID: card.OpenID,
			UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
		})
		if err == nil {
			return s.store.addMember(ctx, nil, card, membercard.UserCardStateEffective)
		}
		if _, final := errors.AsType[finalError](markFinal(err)); !final {
			return err
		}
	}
	now, err := s.keys.client().GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: card.BrandID, CardID: card.CardID, UserCardCode: card.UserCardCode, OpenID: card.OpenID})
	switch {
	case err == nil && now.UserCardState == membercard.UserCardStateUnactivated, errors.Is(err, membercard.ErrNotFound) && again: // it was not carried out
		if again {
			return s.confirm(ctx, card, false)
		}
		return finalError{errors.New("the confirm was refused, and the card waits for one")}
	case err != nil:
		return markFinal(err)
	}
	return s.store.addMember(ctx, nil, card, now.UserCardState)
}

// balanceJob sends the balance of a card, as it then is.
type balanceJob struct{ cardName }

// Kind names the job.
func (balanceJob) Kind() string { return "balance" }

var errLeased = errors.New("another request about this card is under way")

// Refusals of a booking.
var (
	errBooked    = errors.New("it was booked before")
	errOther     = errors.New("the id is that of another booking: of another card, or of other points")
	errTooLittle = errors.New("the card has not so many points")
)

// addPoints books points once for each id, and has the new balance sent. A balance is never negative. with, which may be nil, belongs to
// the same transaction.
func (s *service) addPoints(ctx context.Context, id string, card cardName, points int64, with func(tx *sql.Tx) error) error {
	err := s.store.inTx(ctx, func(tx *sql.Tx) error {
		m, added, err := s.store.book(ctx, tx, id, card, points, "")
		switch {
		case err != nil:
			return err
		case !added:
			return errBooked
		case m.balance < 0:
			return errTooLittle
		}
		if _, err := s.jobs.InsertTx(ctx, tx, balanceJob{card}, nil); err != nil || with == nil {
			return err
		}
		return with(tx)
	})
	if !errors.Is(err, errBooked) {
		return err
	}
	before, _, err := s.store.booked(ctx, nil, id)
	if err == nil && before != (booking{card, points, ""}) {
		err = errOther
	}
	return err
}

// withClaim keeps a card to do, which sends a part of it. One request about a card is under way at a time, so that an older state cannot
// overtake a newer one; after doubt the card waits until the request must be over.
func (s *service) withClaim(ctx context.Context, card cardName, do func(context.Context, member) error, release func(ctx context.Context, m member, sent bool) error) error {
	m, err := s.store.claim(ctx, card)
	if errors.Is(err, errNoMember) {
		if _, err := s.store.member(ctx, nil, card); err != nil {
			return err
		}
		return errLeased
	}
	if err != nil {
		return err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err = do(callCtx, m); errors.Is(err, membercard.ErrOutcomeUnknown) {
		return err
	}
	return errors.Join(markFinal(err), release(context.WithoutCancel(ctx), m, err == nil))
}

// sendBalance sends the balance where WeChat Pay does not have it.
func (s *service) sendBalance(ctx context.Context, job balanceJob, _ bool) error {
	return s.withClaim(ctx, job.cardName, func(ctx context.Context, m member) error {
		if m.pointsSent >= m.pointsVersion {
			return nil
		}
		_, err := s.keys.client().SyncUserPoints(ctx, membercard.SyncUserPointsRequest{
			OutRequestNo: fmt.Sprintf("%s-%d", m.id, m.pointsVersion), BrandID: m.brandID, CardID: m.CardID, OpenID: m.openID,
			UserCardCode: m.UserCardCode, PointBalance: m.balance,
		})
		return err
	}, func(ctx context.Context, m member, sent bool) error {
		if sent {
			m.pointsSent = max(m.pointsSent, m.pointsVersion)
		}
		return s.store.releasePoints(ctx, m, m.pointsSent)
	})
}

// detailsJob sends the level and the phone number of a card, as they then are.
type detailsJob struct{ cardName }

// Kind names the job.
func (detailsJob) Kind() string { return "details" }

// changeDetails notes a level and a phone number, and has them sent; what is empty stays as it is.
func (s *service) changeDetails(ctx context.Context, tx *sql.Tx, card cardName, level, phone string) error {
	phone, err := s.keys.encryptPhone(phone)
	if err != nil {
		return err
	}
	if err := s.store.setDetails(ctx, tx, card, level, phone); err != nil {
		return err
	}
	_, err = s.jobs.InsertTx(ctx, tx, detailsJob{card}, nil)
	return err
}

// sendDetails sends the level and the phone number where WeChat Pay does not have them; it may be done twice.
func (s *service) sendDetails(ctx context.Context, job detailsJob, _ bool) error {
	return s.withClaim(ctx, job.cardName, func(ctx context.Context, m member) error {
		if m.detailsSent >= m.detailsVersion {
			return nil
		}
		request := membercard.UpdateUserCardRequest{BrandID: m.brandID, CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.openID}
		if m.level != "" {
			request.Level = &m.level
		}
		if err := request.PhoneNumber.Scan(m.phone); err != nil {
			return err
		}
		_, err := s.keys.client().UpdateUserCard(ctx, request)
		return err
	}, func(ctx context.Context, m member, sent bool) error {
		if sent {
			m.detailsSent = max(m.detailsSent, m.detailsVersion)
		}
		return s.store.releaseDetails(ctx, m, m.detailsSent)
	})
}

// exchange takes points off and allows an exchange, and gives them back when no coupon was issued.
func (s *service) exchange(ctx context.Context, event *membercard.PointsExchangeRequested, again bool) error {
	card := cardName{event.CardID, event.UserCardCode}
	if _, over, err := s.store.booked(ctx, nil, "exchange-back-"+event.RecordID); err != nil || over {
		return err // nothing is allowed for points that were given back
	}
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
	answer, err := s.keys.client().ConfirmPointsExchange(ctx, request)
	err = markFinal(err)
	_, refused := errors.AsType[finalError](err)
	if allowed && event.DeductPoints != 0 && (refused && !again || err == nil && answer.State == membercard.PointsExchangeStateFail) {
		// After an earlier try, which may have been carried out, a person decides.
		err = errors.Join(s.addPoints(context.WithoutCancel(ctx), "exchange-back-"+event.RecordID, card, event.DeductPoints, nil), err)
	}
	return err
}

// takeOff takes points off, where there are enough. The ledger keeps what was decided, so that it is the same when it is asked again.
func (s *service) takeOff(ctx context.Context, id string, card cardName, points int64) (allowed bool, err error) {
	const rejected = "rejected"
	err = s.store.inTx(ctx, func(tx *sql.Tx) error {
		decided, found, err := s.store.booked(ctx, tx, id)
		if err != nil || found {
			allowed = decided.note != rejected
			return err
		}
		m, err := s.store.member(ctx, tx, card)
		if err != nil {
			return err
		}
		note := ""
		if allowed = m.balance >= points; !allowed {
			points, note = 0, rejected
		}
		m, added, err := s.store.book(ctx, tx, id, card, -points, note)
		if err == nil && (!added || allowed && m.balance < 0) {
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

// requestInvalidation has a card invalidated, once. consent says who wanted it, and who is whose decision it was.
func (s *service) requestInvalidation(ctx context.Context, tx *sql.Tx, card cardName, consent, who string) error {
	m, err := s.store.member(ctx, tx, card)
	if err != nil {
		return err
	}
	added, err := s.store.exec(ctx, tx, "INSERT INTO invalidations (card_id, user_card_code, consent, at) VALUES (?1, ?2, ?3, NOW) ON CONFLICT DO NOTHING", card.CardID, card.UserCardCode, consent)
	if err != nil || !added {
		return err
	}
	if _, err := s.jobs.InsertTx(ctx, tx, invalidationJob{card}, nil); err != nil {
		return err
	}
	return s.store.record(ctx, tx, who, "申请作废，依据："+consent, m.id)
}

// invalidate invalidates a card once: what may have been done is looked at first.
func (s *service) invalidate(ctx context.Context, job invalidationJob, again bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := s.store.member(ctx, nil, job.cardName)
	if err != nil {
		return err
	}
	card := membercard.UserCard{CardID: m.CardID, UserCardCode: m.UserCardCode, BrandID: m.brandID, OpenID: m.openID}
	if again {
		now, err := s.keys.client().GetUserCard(ctx, membercard.GetUserCardRequest{BrandID: m.brandID, CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.openID})
		if err != nil {
			return markFinal(err)
		}
		if now.UserCardState == membercard.UserCardStateInvalid {
			return s.store.addMember(ctx, nil, card, membercard.UserCardStateInvalid)
		}
	}
	_, err = s.keys.client().InvalidateUserCard(ctx, membercard.InvalidateUserCardRequest{
		BrandID: m.brandID, CardID: m.CardID, UserCardCode: m.UserCardCode, OpenID: m.openID, InvalidReason: "用户申请注销",
	})
	if err != nil {
		return markFinal(err)
	}
	return s.store.addMember(ctx, nil, card, membercard.UserCardStateInvalid)
}

// Times for which something is kept.
const (
	keepDecisions     = 30 * 24 * time.Hour
	keepNotifications = 30 * 24 * time.Hour // the ids of those that are done: a copy is known by its id
)

// cleaningJob deletes what is needed no longer.
type cleaningJob struct{}

// Kind names the job.
func (cleaningJob) Kind() string { return "cleaning" }

func (s *service) clean(ctx context.Context) error {
	old := keepNotifications.Milliseconds()
	_, err := s.store.exec(ctx, nil, "DELETE FROM notifications WHERE done = 1 AND at < NOW - ?1", old)
	if err == nil {
		_, err = s.store.exec(ctx, nil, "DELETE FROM attention WHERE state <> ?2 AND at < NOW - ?1", old, attentionOpen)
	}
	if err == nil {
		_, err = s.store.exec(ctx, nil, "DELETE FROM sessions WHERE expires < NOW")
	}
	return err
}

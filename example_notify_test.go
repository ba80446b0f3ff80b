package membercard_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/wechatpay-cards/membercard"
)

// Acting once for each notification: its id is the primary key of a table, and is written in the transaction of the work.
// With PostgreSQL a copy that comes at the same time waits for it and then finds the id. examples/notify does it for SQLite
// and MySQL, too, without a transaction that stays open during a call, and outlives a crash.
func ExampleClient_NotificationHandler() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()
	db := openDatabase() // CREATE TABLE notifications (id VARCHAR(36) PRIMARY KEY)
	defer db.Close()

	handler := client.NotificationHandler(func(ctx context.Context, n *membercard.Notification) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err // WeChat Pay sends it again
		}
		defer func() { _ = tx.Rollback() }()
		result, err := tx.ExecContext(ctx, "INSERT INTO notifications (id) VALUES (?) ON CONFLICT DO NOTHING", n.ID)
		if err != nil {
			return err
		}
		if added, err := result.RowsAffected(); err != nil || added == 0 {
			return err // it was dealt with
		}
		switch event := n.Event.(type) {
		case *membercard.UserCardCreated:
			if event.UserCardCode == "" { // CodeModeMerchantAllocate: the code is the merchant's
				event.UserCardCode = "M-" + event.OpenID
			}
			confirmCtx, cancel := context.WithTimeout(ctx, 2*time.Second) // WeChat Pay waits 5 s
			defer cancel()
			_, err = client.ConfirmUserCard(confirmCtx, membercard.ConfirmUserCardRequest{
				UserCardCode: event.UserCardCode, CardID: event.CardID, BrandID: event.BrandID, OpenID: event.OpenID,
				UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
			})
			if errors.Is(err, membercard.ErrOutcomeUnknown) || errors.Is(err, membercard.ErrNotFound) {
				// It may have been done, now or before a crash: the card knows. It is read with a context of its own, for
				// that of the handler may be over.
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
				defer cancel()
				card, getErr := client.GetUserCard(ctx, membercard.GetUserCardRequest{
					BrandID: event.BrandID, CardID: event.CardID, UserCardCode: event.UserCardCode, OpenID: event.OpenID,
				})
				if getErr == nil && card.UserCardState == membercard.UserCardStateEffective {
					err = nil
				}
			}
			if err != nil {
				return err
			}
			fmt.Println("confirmed")
		case *membercard.UserCardDeleted:
			// Forget the card.
		}
		return tx.Commit()
	})
	// http.Handle("POST /notify", handler)

	opened := server.OpenUserCard("pbLatjvWOibDc5-TBnbUk1pD12o0", "another")
	request := server.NotificationRequest(&membercard.UserCardCreated{UserCard: opened})
	body := request.GetBody
	for range 3 { // it comes several times
		request.Body, _ = body()
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}

	crashed := server.OpenUserCard("pbLatjvWOibDc5-TBnbUk1pD12o0", "a third") // between the confirm and the commit
	_, err := client.ConfirmUserCard(context.Background(), membercard.ConfirmUserCardRequest{
		UserCardCode: crashed.UserCardCode, CardID: crashed.CardID, BrandID: crashed.BrandID, OpenID: crashed.OpenID,
		UserCardConfirmState: membercard.UserCardConfirmStateSuccess,
	})
	fmt.Println(err)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, server.NotificationRequest(&membercard.UserCardCreated{UserCard: crashed}))
	fmt.Println(answer.Code)
	// Output:
	// confirmed
	// 204
	// 204
	// 204
	// <nil>
	// confirmed
	// 204
}

// Work that takes longer than five seconds: the notification is stored as it came, still encrypted, answered, and read again by
// whoever does the work. Several brands are told apart by BrandID.
func ExampleClient_OpenNotification() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	var stored [][]byte // a table, for real
	handler := client.NotificationHandler(func(_ context.Context, n *membercard.Notification) error {
		stored = append(stored, n.Body)
		return nil
	})
	opened := server.OpenUserCard("pbLatjvWOibDc5-TBnbUk1pD12o0", "another")
	handler.ServeHTTP(httptest.NewRecorder(), server.NotificationRequest(&membercard.UserCardCreated{UserCard: opened}))

	for _, body := range stored {
		n, err := client.OpenNotification(body)
		if err != nil {
			log.Fatal(err)
		}
		if created, ok := n.Event.(*membercard.UserCardCreated); ok {
			fmt.Println(n.BrandID, created.UserCardState)
		}
	}
	// Output: 1004 UNACTIVATED
}

// Looking for what is wrong when a program starts.
func ExampleClient_Check() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	for _, finding := range client.Check(context.Background()) {
		if !finding.OK {
			log.Fatal(finding)
		}
		fmt.Println(finding.Subject)
	}
	// Output:
	// Certificate
	// service
	// PublicKey
	// APIv3Key
	// clock
	// encryption
}

// The service answers what it is sent: keys, encryption and signatures work both ways.
func ExampleClient_SecurityEcho() {
	server := newExampleServer()
	defer server.Close()
	client := server.Client()

	echo, err := client.SecurityEcho(context.Background(), membercard.SecurityEchoRequest{
		EchoMessage: "hello", EncryptedEchoMessage: membercard.NewSensitive("a secret"),
	})
	if err != nil {
		log.Fatal(err)
	}
	secret, err := client.Decrypt(echo.EncryptedEchoMessage)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(echo.EchoMessage, secret == "a secret")
	// Output: hello true
}

// What follows stands for a database.

func openDatabase() *sql.DB { return sql.OpenDB(&oneTable{ids: map[driver.Value]bool{}}) }

// oneTable is a database with one table of one column, its primary key. One transaction at a time.
type oneTable struct {
	mu      sync.Mutex
	ids     map[driver.Value]bool
	written []driver.Value
}

func (d *oneTable) Connect(context.Context) (driver.Conn, error) { return d, nil }
func (d *oneTable) Driver() driver.Driver                        { return nil }
func (d *oneTable) Prepare(string) (driver.Stmt, error)          { return d, nil }
func (d *oneTable) Close() error                                 { return nil }
func (d *oneTable) NumInput() int                                { return 1 }
func (d *oneTable) Query([]driver.Value) (driver.Rows, error)    { return nil, errors.ErrUnsupported }

func (d *oneTable) Begin() (driver.Tx, error) {
	d.mu.Lock()
	d.written = nil
	return d, nil
}

func (d *oneTable) Exec(args []driver.Value) (driver.Result, error) {
	if d.ids[args[0]] {
		return driver.RowsAffected(0), nil
	}
	d.ids[args[0]] = true
	d.written = append(d.written, args[0])
	return driver.RowsAffected(1), nil
}

func (d *oneTable) Commit() error {
	d.mu.Unlock()
	return nil
}

func (d *oneTable) Rollback() error {
	for _, id := range d.written {
		delete(d.ids, id)
	}
	d.mu.Unlock()
	return nil
}

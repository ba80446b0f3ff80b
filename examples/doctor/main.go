// Doctor looks for what is wrong with a configuration: it reads the usual key files, calls membercard.Client.Check and says in
// words what it found and what to do. With -brand it also asks for that brand's card
// templates, which shows whether the merchant number may use the product. With -notify-url it has WeChat Pay send a
// notification there, listens for it on -addr, and says what arrived or what is in the way. It changes nothing.
//
//	go run ./examples/doctor -keys FOLDER [-brand 1004] \
//		[-notify-url https://merchant.example/notify -addr :8080]
//
// The folder has apiclient_key.pem, apiclient_cert.pem and pub_key.pem from the merchant platform, public_key_id.txt with the
// id of that key, and apiv3_key.txt with the APIv3 key. Without flags it examines the fake WeChat Pay. With -lang zh, or a
// Chinese LANG, it speaks Chinese.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/examples/internal/account"
	"github.com/wechatpay-cards/membercard/internal/language"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "doctor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	whose := account.Register(flags)
	brand := flags.String("brand", "", "also read the card templates of the brand with this `id`")
	notifyURL := flags.String("notify-url", "", "have WeChat Pay send a notification to this `URL`, which must lead to -addr")
	addr := flags.String("addr", ":8080", "listen for the notification on this `address`")
	lang := flags.String("lang", "", "`language` of the findings, en or zh (default by LANG)")
	if err := whose.Parse(flags, args); err != nil {
		return err
	}
	chosen, err := language.Chosen(*lang, os.Getenv)
	if err != nil {
		return err
	}
	say := func(text string) {
		if chosen == "zh" {
			text = chinese.Translate(text)
		}
		fmt.Fprintln(out, text)
	}
	problems := 0
	report := func(findings ...membercard.Finding) {
		for _, finding := range findings {
			say(finding.String())
			if !finding.OK {
				problems++
			}
		}
	}
	if !whose.Real() {
		say("no -keys: examining the fake WeChat Pay")
	}
	config, server, err := whose.Open()
	if server != nil {
		defer server.Close()
		server.AddCard(membercard.Card{BrandID: *brand})
	}
	var client *membercard.Client
	if err == nil {
		client, err = membercard.New(config)
	}
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "membercard: ")
		if missing := whose.Missing(); len(missing) > 0 {
			text += "; these files are not there: " + strings.Join(missing, ", ")
		}
		report(membercard.Finding{Subject: "configuration", Text: text})
		return fmt.Errorf("problems: %d", problems)
	}
	report(client.Check(ctx)...)
	if *brand != "" && problems == 0 {
		report(checkBrand(ctx, client, *brand))
	}
	if *notifyURL != "" && problems == 0 {
		report(checkNotification(ctx, client, server, *notifyURL, *addr))
	}
	if problems > 0 {
		return fmt.Errorf("problems: %d", problems)
	}
	return nil
}

func checkBrand(ctx context.Context, client *membercard.Client, brand string) membercard.Finding {
	cards, err := client.ListCards(ctx, membercard.ListCardsRequest{BrandID: brand})
	advice := ""
	switch {
	case err == nil && cards.TotalCount == 0:
		return membercard.Finding{Subject: "brand", Text: "has no card template: is this the right id?"}
	case err == nil:
		return membercard.Finding{Subject: "brand", OK: true, Text: fmt.Sprintf("card templates: %d", cards.TotalCount)}
	case errors.Is(err, membercard.ErrForbidden):
		advice = "; apply for the product on the merchant platform, or the brand has not authorised this service provider"
	case errors.Is(err, membercard.ErrInvalidRequest), errors.Is(err, membercard.ErrInvalidParameter):
		advice = "; is this the id of a brand that authorised this service provider?"
	}
	return membercard.Finding{Subject: "brand", Text: err.Error() + advice}
}

// patience is how long the notification may take. WeChat Pay delivers it at once, and again after 15 s.
const patience = 20 * time.Second

// checkNotification has WeChat Pay echo a message to notifyURL, and waits for it on addr. A fake is told to deliver it.
func checkNotification(ctx context.Context, client *membercard.Client, fake *membercardtest.Server, notifyURL, addr string) membercard.Finding {
	bad := func(text string) membercard.Finding { return membercard.Finding{Subject: "notification", Text: text} }
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return bad(err.Error() + "; is another program listening there?")
	}
	message := rand.Text()
	arrived, refused := make(chan *membercard.SecurityEchoed, 1), make(chan error, 1)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		notification, err := client.ParseNotification(r)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			select {
			case refused <- err:
			default:
			}
			return
		}
		w.WriteHeader(http.StatusNoContent)
		if echo, ok := notification.Event.(*membercard.SecurityEchoed); ok && echo.EchoMessage == message {
			select {
			case arrived <- echo:
			default:
			}
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	_, err = client.SecurityEcho(ctx, membercard.SecurityEchoRequest{
		EchoMessage: message, EncryptedEchoMessage: membercard.NewSensitive(message), NotifyURL: notifyURL,
	})
	if err != nil {
		return bad(err.Error())
	}
	if fake != nil {
		_, _ = fake.Notify(ctx, &membercard.SecurityEchoed{EchoMessage: message, EncryptEchoMessage: membercard.NewSensitive(message)})
	}
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case echo := <-arrived:
		if text, err := client.Decrypt(echo.EncryptEchoMessage); err != nil || text != message {
			return bad("it arrived and verifies, but what is encrypted in it does not decrypt with PrivateKey")
		}
		return membercard.Finding{Subject: "notification", OK: true, Text: "it arrived, verifies and opens"}
	case <-wait.C:
	case <-ctx.Done():
	}
	select {
	case err := <-refused:
		return bad("what arrived does not verify: " + err.Error())
	default:
	}
	return bad("nothing arrived on " + addr + "; does -notify-url lead here from the Internet, does a firewall let WeChat Pay through, and is an APIv3 key set on the merchant platform?")
}

// Membercard-fake is the fake WeChat Pay of package membercardtest as a program, for tests of clients in
// any language. It listens on loopback, and writes what a client needs into a folder:
//
//	membercard-fake [-addr 127.0.0.1:0] [-dir DIR] [-json] [-keep] [-rate N] [-lang zh] [-allow-remote]
//
//	DIR/config.json         the base URL, identities, the APIv3 key, and the names of the key files
//	DIR/apiclient_key.pem   the merchant API private key (商户API私钥)
//	DIR/apiclient_cert.pem  the merchant API certificate (商户API证书)
//	DIR/pub_key.pem         the WeChat Pay public key (微信支付公钥), to verify answers and to encrypt
//	DIR/public_key_id.txt   its id
//	DIR/apiv3_key.txt       the APIv3 key (APIv3密钥)
//
// It has one card template and one user card to begin with, named in config.json; ImportUserCardByOpenID adds others. Nobody opens a card or asks for a
// coupon there, so there is nothing for ConfirmUserCard and ConfirmPointsExchange to confirm, and no
// notifications are sent; faults and notifications are for Go tests, with package membercardtest. Its first
// line of output begins with "listening " and the base URL; then comes one line for each request, with
// the reason in words when it was refused, in Chinese with -lang zh or a Chinese LANG. It ends on SIGINT or SIGTERM and removes what it wrote,
// unless -keep is given. In scripts build it first: go run does not pass SIGTERM on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/internal/language"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "membercard-fake:", err)
		os.Exit(1)
	}
}

// config is what a client needs to know. Files are named relative to the folder of config.json.
type config struct {
	BaseURL           string `json:"base_url"`
	MchID             string `json:"mch_id"`
	CertificateSerial string `json:"certificate_serial"`
	PrivateKey        string `json:"private_key"`
	Certificate       string `json:"certificate"`
	PublicKeyID       string `json:"public_key_id"`
	PublicKey         string `json:"public_key"`
	APIv3Key          string `json:"apiv3_key"`
	BrandID           string `json:"brand_id"`
	CardID            string `json:"card_id"`
	UserCardCode      string `json:"user_card_code"`
	OpenID            string `json:"openid"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("membercard-fake", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:0", "`address` to listen on; port 0 is any free one")
	dir := flags.String("dir", "", "`folder` for config.json and the keys (default a new temporary one)")
	asJSON := flags.Bool("json", false, "write the lines about requests as JSON")
	keep := flags.Bool("keep", false, "leave the files when the program ends")
	rate := flags.Int("rate", 0, "answer 429 beyond `N` requests a second for one operation (default no limit)")
	lang := flags.String("lang", "", "`language` of the lines, en or zh (default by LANG)")
	allowRemote := flags.Bool("allow-remote", false, "listen on an address that other machines reach")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rate < 0 {
		return errors.New("-rate must not be negative")
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	chosen, err := language.Chosen(*lang, os.Getenv)
	if err != nil {
		return err
	}
	var server *membercardtest.Server
	server = membercardtest.NewServer(membercardtest.OnRequest(func(r membercardtest.Request) {
		report(stdout, inLanguage(chosen, r), *asJSON)
		server.ClearRequests() // they are reported, and the program may run for weeks
	}))
	defer server.Close()
	server.LimitRate(*rate)
	card := server.AddCard(membercard.Card{BrandID: "1004", CardID: "pbLatjvWOibDc5-TBnbUk1pD12o0"})
	userCard := server.AddUserCard(membercard.UserCard{
		CardID: card.CardID, UserCardCode: "478515832665", OpenID: "obLatjnx9gnqzS4myYGmLZ7LgLBA",
		Level: "黄金会员", PhoneNumber: membercard.NewSensitive("13800000000"),
	})

	listener, err := listen(ctx, *addr, *allowRemote)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	files, err := newFolder(*dir)
	if err != nil {
		return err
	}
	if !*keep {
		defer func() { err = errors.Join(err, files.remove()) }()
	}
	if err := files.write(server.KeyFiles(), config{
		BaseURL: baseURL(listener), MchID: membercardtest.MchID, CertificateSerial: membercardtest.CertificateSerial,
		PublicKeyID: membercardtest.PublicKeyID, APIv3Key: membercardtest.APIv3Key,
		BrandID: card.BrandID, CardID: card.CardID, UserCardCode: userCard.UserCardCode, OpenID: userCard.OpenID,
	}); err != nil {
		return err
	}

	httpServer := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	fmt.Fprintf(stdout, "listening %s config %s\n", baseURL(listener), filepath.Join(files.dir, configFile))
	go func() { served <- httpServer.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return httpServer.Shutdown(shutdownCtx)
}

// listen refuses an address that other machines reach: the fake gives away its private keys.
func listen(ctx context.Context, addr string, allowRemote bool) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	if !allowRemote && !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("%s is not a loopback address; use -allow-remote if other machines are to reach it", addr)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", resolved.String())
}

// baseURL is where clients of this machine find the listener.
func baseURL(listener net.Listener) string {
	addr := listener.Addr().(*net.TCPAddr)
	if addr.IP.IsUnspecified() {
		return fmt.Sprintf("http://127.0.0.1:%d", addr.Port)
	}
	return "http://" + addr.String()
}

// inLanguage returns a request whose reason is in a language: the message of the official page, where there is one, and the
// reason.
func inLanguage(chosen string, r membercardtest.Request) membercardtest.Request {
	if chosen != "zh" || r.Message == "" {
		return r
	}
	at := strings.LastIndex(r.Reason, " (") // where the source begins
	reason, source := r.Reason[:at], chinese.Translate(r.Reason[at+1:])
	if translated := chinese.Translate(reason); translated != reason {
		r.Reason = r.Message + "；" + translated + source
	} else { // the page's own text says it
		r.Reason = r.Message + source
	}
	return r
}

// report writes the line about one request.
func report(out io.Writer, r membercardtest.Request, asJSON bool) {
	operation := string(r.Operation)
	if operation == "" {
		operation = r.Method
	}
	if asJSON {
		_ = json.NewEncoder(out).Encode(map[string]any{
			"operation": operation, "status": r.Status, "code": r.Code, "reason": r.Reason, "violation": r.Violation,
		})
		return
	}
	line := fmt.Sprintf("%s %d", operation, r.Status)
	if r.Code != "" {
		line += " " + r.Code
	}
	if r.Reason != "" {
		line += ": " + r.Reason
	}
	fmt.Fprintln(out, line)
}

const (
	configFile      = "config.json"
	privateKeyFile  = "apiclient_key.pem"
	certificateFile = "apiclient_cert.pem"
	publicKeyFile   = "pub_key.pem"
)

// folder holds the files of one run.
type folder struct {
	dir       string
	temporary bool
	written   []string
}

func newFolder(dir string) (*folder, error) {
	if dir != "" {
		return &folder{dir: dir}, os.MkdirAll(dir, 0o700)
	}
	dir, err := os.MkdirTemp("", "membercard-fake-")
	return &folder{dir: dir, temporary: true}, err
}

func (f *folder) write(keys map[string][]byte, c config) error {
	c.PrivateKey, c.Certificate, c.PublicKey = privateKeyFile, certificateFile, publicKeyFile
	text, err := json.MarshalIndent(c, "", "  ") //nolint:gosec // the field holds the name of a file
	if err != nil {
		return err
	}
	keys[configFile] = append(text, '\n')
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(keys)), func(name string) bool { return name == configFile })
	for _, name := range append(names, configFile) { // last, so that whoever waits for it finds the others
		path := filepath.Join(f.dir, name)
		// Never over a file that is there: it may be a real key of this name.
		created, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user named the folder
		if err != nil {
			return fmt.Errorf("%w; give -dir a folder of its own, or remove what an earlier run left that was killed", err)
		}
		f.written = append(f.written, path)
		if _, err := created.Write(keys[name]); err != nil {
			return err
		}
		if err := created.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) remove() error {
	var errs []error
	for _, path := range f.written {
		errs = append(errs, os.Remove(path))
	}
	if f.temporary {
		errs = append(errs, os.Remove(f.dir))
	}
	return errors.Join(errs...)
}

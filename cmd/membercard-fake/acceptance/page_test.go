// Package acceptance has a browser look at the page of the fake, and holds its control API against its OpenAPI document.
package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// browser is a tab that looks at the page of a fake.
type browser struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // the tab is in it
	server *membercardtest.Server
	url    string
}

func open(t *testing.T, language string, width int64) *browser {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			server := membercardtest.NewServer(membercardtest.AllowViolations())
			t.Cleanup(server.Close)
			seed := membercardtest.Seed{
				Cards: []membercard.Card{{BrandID: "1004", CardID: "t-1", CardTitle: "咖啡会员卡"}},
				UserCards: []membercard.UserCard{{
					CardID: "t-1", OpenID: "openid-of-alice", UserCardCode: "478515832665", Level: "黄金会员", PhoneNumber: membercard.NewSensitive("13812345678"),
				}},
			}
			require.NoError(t, server.Plant(seed))
			listener := httptest.NewServer(&membercardtest.Control{Server: server, Seed: seed})
			t.Cleanup(listener.Close)
			options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.Flag("lang", language), chromedp.Flag("accept-lang", language))
			ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
			t.Cleanup(cancel)
			ctx, cancel = chromedp.NewContext(ctx)
			t.Cleanup(cancel)
			ctx, cancel = context.WithTimeout(ctx, time.Minute)
			t.Cleanup(cancel)
			b := &browser{t, ctx, server, listener.URL}
			b.do(chromedp.EmulateViewport(width, 800), chromedp.Navigate(listener.URL+"/"))
			b.waitFor(`document.querySelectorAll('#members li button').length > 0`)
			return b
		}
	}
	t.Skip("there is no Chromium")
	return nil
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

// click clicks an element that the page may draw anew at any moment.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.waitFor(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e?.click(); return Boolean(e); })()`, selector))
}

// waitFor waits until an expression of the page is true.
func (b *browser) waitFor(expression string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression))
	require.NoError(b.t, err, expression)
}

func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	require.NoError(b.t, err, expression)
	return value
}

func (b *browser) text() string { return evaluate[string](b, `document.body.innerText`) }

// picture keeps what the browser shows. PICTURES names the folder.
func (b *browser) picture(name string) {
	b.t.Helper()
	data, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	if dir := os.Getenv("PICTURES"); dir != "" {
		require.NoError(b.t, os.MkdirAll(dir, 0o755))
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600))
	}
}

func (b *browser) client(change func(*membercard.Config)) *membercard.Client {
	config := b.server.Config()
	config.Retry.MaxAttempts = 1
	if change != nil {
		change(&config)
	}
	client, err := membercard.New(config)
	require.NoError(b.t, err)
	return client
}

var get = membercard.GetUserCardRequest{BrandID: "1004", CardID: "t-1", UserCardCode: "478515832665", OpenID: "openid-of-alice"}

// TestRequests appear as they come, with the rule that refused them, and without personal values until these are asked for.
func TestRequests(t *testing.T) {
	for _, language := range []string{"en", "zh-CN"} {
		b := open(t, language, 1280)
		words := map[string][]string{
			"en":    {"Fake WeChat Pay", "accepted", "violates the protocol", "Message that was verified", "Show personal values"},
			"zh-CN": {"模拟微信支付", "通过", "违反协议", "用于验签的串", "显示个人信息"},
		}[language]
		update := membercard.UpdateUserCardRequest{
			BrandID: "1004", CardID: "t-1", UserCardCode: "478515832665", OpenID: "openid-of-alice", Level: new("钻石会员"), PhoneNumber: membercard.NewSensitive("13900000000"),
		}
		_, err := b.client(nil).UpdateUserCard(t.Context(), update)
		require.NoError(t, err)
		_, err = b.client(func(c *membercard.Config) { c.HTTPClient = &http.Client{Transport: changing{b.server}} }).UpdateUserCard(t.Context(), update)
		require.ErrorIs(t, err, membercard.ErrUnauthorized)
		b.waitFor(`document.querySelectorAll('#requests li[data-number]').length === 2`)
		assert.Contains(t, b.text(), words[0])
		assert.Contains(t, b.text(), words[1])
		assert.Contains(t, b.text(), words[2])

		b.click(`#requests li[data-number="2"] .line`)
		b.waitFor(`document.querySelectorAll('#requests .pair pre').length === 2`)
		assert.Contains(t, b.text(), words[3])
		messages := evaluate[[]string](b, `[...document.querySelectorAll('#requests .pair pre')].map((p) => p.innerText)`)
		assert.Contains(t, messages[0], "/user-cards/•••\n")
		assert.Contains(t, messages[1], "/user-cards/•••\n")
		assert.NotEqual(t, messages[0], messages[1], "what was signed is another message")
		b.click(`#requests li[data-number="1"] .line`)
		for _, secret := range []string{"openid-of-alice", "478515832665", "13812345678", "13900000000"} {
			assert.NotContains(t, b.text(), secret, language)
		}
		b.picture("requests-" + language)
		b.do(chromedp.EmulateViewport(900, 620))
		b.picture("narrow-" + language)
		b.click(`#requests li[data-number="1"] .line + button`)
		b.waitFor(`document.body.innerText.includes('openid-of-alice')`)
		assert.NotContains(t, b.text(), "13812345678", "what was not asked for stays hidden")
		b.click(`#members li button`)
		b.waitFor(`document.body.innerText.includes('13900000000')`)
		assert.Contains(t, b.text(), map[string]string{"en": "[encrypted]", "zh-CN": "［密文］"}[language])
		b.click(`#language`)
		b.waitFor(fmt.Sprintf(`document.documentElement.lang === %q`, map[string]string{"en": "zh-CN", "zh-CN": "en"}[language]))
	}
}

// changing encodes the body of a request anew on its way, as a proxy does.
type changing struct{ next http.RoundTripper }

func (p changing) RoundTrip(r *http.Request) (*http.Response, error) {
	changed := r.Clone(r.Context())
	body, _ := io.ReadAll(r.Body)
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		return nil, err
	}
	changed.Body, changed.ContentLength = io.NopCloser(&indented), int64(indented.Len())
	return p.next.RoundTrip(changed)
}

// TestButtons: a card is opened, a notification delivered, a fault injected, and all is reset.
func TestButtons(t *testing.T) {
	b := open(t, "en", 1280)
	var delivered []string
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := b.client(nil).ParseNotification(r)
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		delivered = append(delivered, n.EventType)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(merchant.Close)

	b.do(chromedp.SendKeys(chromedp.CSS(`#open input`), "openid-of-bob"))
	b.click(`#open button`)
	b.waitFor(`document.body.innerText.includes('UNACTIVATED')`)
	require.Len(t, b.server.UserCards(), 2)

	b.do(chromedp.SendKeys(chromedp.CSS(`#notify input[name=url]`), merchant.URL))
	b.click(`#notify input[name=probe]`)
	b.click(`#notify > button`)
	b.waitFor(`document.getElementById('notice').innerText.includes('401, 204')`)
	assert.Equal(t, []string{"BRAND_MEMBER_CARD_SP.USER_CARD.CREATE"}, delivered)

	b.click(`#fault > button`)
	b.waitFor(`document.getElementById('faults').innerText.includes('RATELIMIT_EXCEEDED')`)
	_, err := b.client(nil).GetUserCard(t.Context(), get)
	require.ErrorIs(t, err, membercard.ErrRateLimited)
	b.waitFor(`document.getElementById('requests').innerText.includes('429')`)

	b.click(`#reset`)
	b.waitFor(`!document.body.innerText.includes('UNACTIVATED') && !document.body.innerText.includes('429')`)
	assert.Len(t, b.server.UserCards(), 1)
	b.do(chromedp.SetValue(chromedp.CSS(`#notify input[name=url]`), "https://www.example.com/notify"))
	b.click(`#notify > button`)
	b.waitFor(`document.getElementById('notice').className === 'bad'`)
}

// TestSmallAndByKeyboard: at 360 pixels nothing sticks out, and everything is reached by the keyboard.
func TestSmallAndByKeyboard(t *testing.T) {
	b := open(t, "zh-CN", 360)
	_, err := b.client(nil).GetUserCard(t.Context(), get)
	require.NoError(t, err)
	b.waitFor(`document.querySelectorAll('#requests li[data-number]').length === 1`)
	for range 8 { // language, reset, clear, the request
		b.do(chromedp.KeyEvent("\t"))
		if evaluate[bool](b, `document.activeElement.className === 'line'`) {
			break
		}
	}
	b.do(chromedp.KeyEvent("\r"))
	b.waitFor(`document.querySelector('#requests .line').getAttribute('aria-expanded') === 'true'`)
	assert.True(t, evaluate[bool](b, `document.activeElement.className === 'line'`), "the keyboard stays where it was")
	assert.LessOrEqual(t, evaluate[int](b, `document.documentElement.scrollWidth`), 360)
	unlabelled := evaluate[int](b, `[...document.querySelectorAll('input, select, button')].filter((e) => !(e.labels?.length || e.innerText.trim())).length`)
	assert.Zero(t, unlabelled, "every control has a name")
	b.picture("small")
}

// TestNothingIsTakenForHTML: what a client sent is text.
func TestNothingIsTakenForHTML(t *testing.T) {
	b := open(t, "en", 1280)
	const script = `<img src=x onerror="window.taken=1"><script>window.taken=1</script>`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://host/"+"%3Cimg%20src=x%20onerror=window.taken=1%3E", strings.NewReader(`{"openid":"`+strings.ReplaceAll(script, `"`, `\"`)+`"}`))
	require.NoError(t, err)
	request.Header.Set("X-Trace", script)
	response, err := b.server.RoundTrip(request)
	require.NoError(t, err)
	_ = response.Body.Close()
	b.server.AddCard(membercard.Card{CardTitle: script, CardID: "t-2"})
	b.waitFor(`document.querySelectorAll('#requests li[data-number]').length === 1`)
	b.click(`#requests .line`)
	b.click(`#requests li > button:not(.line)`)
	b.waitFor(`document.body.innerText.includes('onerror')`)
	assert.False(t, evaluate[bool](b, `'taken' in window`))
	assert.Zero(t, evaluate[int](b, `document.querySelectorAll('main img').length`))
}

// TestAnotherOrigin: a page from elsewhere that knows the address can neither read nor change anything.
func TestAnotherOrigin(t *testing.T) {
	b := open(t, "en", 1280)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<form id="f" method="post" enctype="text/plain" target="frame" action="`+b.url+`/reset"></form><iframe name="frame"></iframe>
<script>
window.results = [];
const say = (name, promise) => promise.then((r) => results.push(name + ' ' + r.status), () => results.push(name + ' failed'));
Promise.all([
  say('read', fetch('`+b.url+`/state')),
  say('blind', fetch('`+b.url+`/reset', { method: 'POST', mode: 'no-cors' }).then(() => ({ status: 'opaque' }))),
  say('json', fetch('`+b.url+`/cards', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })),
  say('delete', fetch('`+b.url+`/requests', { method: 'DELETE' })),
]).then(() => { document.getElementById('f').submit(); setTimeout(() => { window.finished = true; }, 500); });
</script>`)
	}))
	t.Cleanup(elsewhere.Close)
	b.server.AddCard(membercard.Card{CardID: "t-9"}) // a reset would forget it
	_, err := b.client(nil).GetUserCard(t.Context(), get)
	require.NoError(t, err)

	b.do(chromedp.Navigate(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)))
	b.waitFor(`window.finished === true`)
	assert.ElementsMatch(t, []string{"read failed", "blind failed", "json failed", "delete failed"}, evaluate[[]string](b, `window.results`))
	assert.Len(t, b.server.Cards(), 2, "nothing was reset, nothing added")
	assert.Len(t, b.server.Requests(), 1)
}

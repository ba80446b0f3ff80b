package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatpay-cards/membercard"
	"github.com/wechatpay-cards/membercard/membercardtest"
)

// visitor is a browser without a picture.
type visitor struct {
	t      *testing.T
	url    string
	client *http.Client
}

func (p *platform) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &visitor{t, p.url, &http.Client{Jar: jar}}
}

// get and post return the status, the page and where it is.
func (v *visitor) get(path string) (status int, page, at string) {
	v.t.Helper()
	response, err := v.client.Get(v.url + path)
	return v.read(response, err)
}

func (v *visitor) post(path string, form ...string) (status int, page, at string) {
	v.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	response, err := v.client.PostForm(v.url+path, values)
	return v.read(response, err)
}

func (v *visitor) read(response *http.Response, err error) (status int, page, at string) {
	v.t.Helper()
	require.NoError(v.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(v.t, err)
	return response.StatusCode, string(body), response.Request.URL.Path
}

// signIn signs in with a first password and sets another.
func (v *visitor) signIn(name, first string) {
	v.t.Helper()
	_, _, at := v.post("/staff/sign-in", "name", name, "password", first)
	require.Equal(v.t, "/staff/password", at, "a password that the program made is to be changed")
	_, _, at = v.get("/staff/")
	require.Equal(v.t, "/staff/password", at, "before anything else")
	status, page, _ := v.post("/staff/password", "old", first, "new", "short", "again", "short")
	require.Equal(v.t, http.StatusBadRequest, status)
	require.Contains(v.t, page, errPassword.Error())
	_, _, at = v.post("/staff/password", "old", first, "new", "a long password of "+name, "again", "a long password of "+name)
	require.Equal(v.t, "/staff/", at)
}

// boss signs in with the first account of all.
func (p *platform) boss(t *testing.T) *visitor {
	t.Helper()
	first, err := p.store.firstStaff(t.Context())
	require.NoError(t, err)
	again, err := p.store.firstStaff(t.Context())
	require.NoError(t, err)
	require.Empty(t, again, "it is made once")
	v := p.visitor(t)
	v.signIn("admin", first)
	return v
}

var memberLink = regexp.MustCompile(`/staff/members/\w+`)

// TestNothingWithoutSigningIn: who is not signed in sees the sign-in page and nothing else, and who may only look decides nothing.
func TestNothingWithoutSigningIn(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-private")
	boss := p.boss(t)
	_, page, _ := boss.post("/staff/search", "q", card.UserCardCode)
	member := memberLink.FindString(page)
	require.NotEmpty(t, member)

	_, page, _ = boss.post("/staff/accounts", "name", "小李", "role", "look")
	first := regexp.MustCompile(`id="password">(\w+)<`).FindStringSubmatch(page)
	require.Len(t, first, 2)
	_, page, _ = boss.post("/staff/accounts", "name", "小李", "role", "decide")
	assert.Contains(t, page, errStaffName.Error(), "an account is not taken over")
	looker := p.visitor(t)
	looker.signIn("小李", first[1])

	gets := []string{"/staff/", member, "/staff/records", "/staff/accounts", "/staff/imports/x", "/staff/river/", "/staff/river/api/jobs"}
	posts := []string{
		"/staff/search", member + "/phone", member + "/details", member + "/invalidation", "/staff/decisions/1", "/staff/imports", "/staff/imports/x/stop",
		"/staff/accounts", "/staff/accounts/disable", "/staff/password", "/staff/sign-out", "/staff/river/api/jobs/cancel",
	}
	stranger := p.visitor(t)
	for _, path := range gets {
		_, page, at := stranger.get(path)
		assert.Equal(t, "/staff/sign-in", at, path)
		assert.NotContains(t, page, "o-private")
	}
	for _, path := range posts {
		_, page, at := stranger.post(path, "q", "o-private")
		assert.Equal(t, "/staff/sign-in", at, path)
		assert.NotContains(t, page, "o-private")
	}
	for _, path := range gets[2:] {
		if path != "/staff/imports/x" {
			status, _, _ := looker.get(path)
			assert.Equal(t, http.StatusForbidden, status, path)
		}
	}
	for _, path := range []string{member + "/details", member + "/invalidation", "/staff/decisions/1", "/staff/imports", "/staff/accounts", "/staff/river/api/jobs/cancel"} {
		status, _, _ := looker.post(path, "level", "金卡", "code", card.UserCardCode, "consent", "x")
		assert.Equal(t, http.StatusForbidden, status, path)
	}
	status, page, _ := looker.get(member)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, page, "o-private")
	assert.NotContains(t, page, "作废")
	status, _, _ = boss.get("/staff/river/")
	assert.Equal(t, http.StatusOK, status, "River's own page")
	p.eventually(t, func() bool {
		_, page, _ := boss.get("/staff/river/api/jobs?state=completed")
		return strings.Contains(page, `"kind":"notification"`)
	})

	boss.post("/staff/accounts/disable", "name", "小李")
	_, _, at := looker.get("/staff/")
	assert.Equal(t, "/staff/sign-in", at, "a session ends with the account")
	boss.post("/staff/accounts/disable", "name", "admin")
	_, _, at = boss.get("/staff/")
	assert.Equal(t, "/staff/", at, "nobody shuts the door behind himself")
	boss.post("/staff/sign-out")
	_, _, at = boss.get("/staff/")
	assert.Equal(t, "/staff/sign-in", at)
	for _, path := range []string{"/points", "/details", "/invalidations"} {
		assert.Equal(t, http.StatusUnauthorized, send(t, p.url+path, []byte(`{}`), "guessed"), path)
	}
}

// TestFailedTries are slowed down, also for who knows the password then, and a name that is not there says no more.
func TestFailedTries(t *testing.T) {
	p := newPlatform(t)
	first, err := p.store.firstStaff(t.Context())
	require.NoError(t, err)
	for tries := 0; !errors.Is(err, errTooSoon); tries++ { // each takes a while by itself
		require.Less(t, tries, 20)
		_, err = p.store.signIn(t.Context(), "admin", "wrong")
		require.Error(t, err)
		if tries <= freeTries {
			require.ErrorIs(t, err, errSignIn)
		}
	}
	_, err = p.store.signIn(t.Context(), "admin", first)
	require.ErrorIs(t, err, errTooSoon, "the password is not even looked at")
	_, err = p.store.exec(t.Context(), nil, "UPDATE staff SET next_try = NOW")
	require.NoError(t, err)
	_, err = p.store.signIn(t.Context(), "admin", first)
	require.NoError(t, err)
	_, err = p.store.signIn(t.Context(), "admin", "wrong")
	require.ErrorIs(t, err, errSignIn, "the count began anew")
	_, err = p.store.signIn(t.Context(), "nobody", "wrong")
	require.ErrorIs(t, err, errSignIn)
	status, page, _ := p.visitor(t).post("/staff/sign-in", "name", "nobody", "password", "wrong")
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, page, errSignIn.Error())
}

// TestAnotherSite: a form on another site does nothing, and the pages forbid scripts and frames.
func TestAnotherSite(t *testing.T) {
	p := newPlatform(t)
	boss := p.boss(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/staff/sign-out", nil)
	require.NoError(t, err)
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err := boss.client.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusForbidden, response.StatusCode)
	_, _, at := boss.get("/staff/")
	assert.Equal(t, "/staff/", at, "still signed in")
	response, err = boss.client.Get(p.url + "/staff/")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Contains(t, response.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'self'")
	assert.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	site, err := url.Parse(p.url + "/staff/")
	require.NoError(t, err)
	require.Len(t, boss.client.Jar.Cookies(site), 1)
	assert.Zero(t, p.ask(t, "SELECT COUNT(*) FROM sessions WHERE token = ?1", boss.client.Jar.Cookies(site)[0].Value), "the database has a digest")
}

// TestDecisions of the staff: a level, a card that is invalidated when its code was typed, a refusal that is tried again or closed; who did
// what is recorded, a look at a phone number, too.
func TestDecisions(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	boss := p.boss(t)
	_, page, _ := boss.post("/staff/search", "q", "o-1")
	assert.Contains(t, page, card.UserCardCode)
	member := memberLink.FindString(page)

	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"phone_number": "13900001234"})))
	p.eventually(t, func() bool { _, page, _ := boss.get(member); return strings.Contains(page, "***********") })
	_, page, _ = boss.get(member)
	assert.NotContains(t, page, "13900001234")
	_, page, _ = boss.post(member + "/phone")
	assert.Contains(t, page, "13900001234")
	_, page, _ = boss.get("/staff/records")
	assert.Contains(t, page, "查看手机号")

	_, page, _ = boss.post(member+"/details", "level", "一二三四五六七八九十一")
	assert.Contains(t, page, "等级为1至10个字符")
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "INVALID_REQUEST", Operation: membercard.OperationUpdateUserCard})
	boss.post(member+"/details", "level", "金卡")
	p.eventually(t, func() bool { _, page, _ := boss.get(member); return strings.Contains(page, "再试一次") })
	_, page, _ = boss.get("/staff/")
	decision := regexp.MustCompile(`/staff/decisions/\d+`).FindString(page)
	p.eventually(t, func() bool { // a job that River has not ended yet cannot be tried again
		status, _, _ := boss.post(decision, "again", "1")
		return status == http.StatusOK
	})
	p.eventually(t, func() bool {
		now, _ := p.fake.UserCard(card.CardID, card.UserCardCode)
		return now.Level == "金卡"
	})
	_, page, _ = boss.get("/staff/")
	assert.NotContains(t, page, "再试一次")

	_, page, _ = boss.post(member+"/invalidation", "code", "another", "consent", "signed")
	assert.Contains(t, page, "未作废")
	boss.post(member+"/invalidation", "code", card.UserCardCode, "consent", "")
	assert.Zero(t, p.ask(t, "SELECT COUNT(*) FROM invalidations"))
	boss.post(member+"/invalidation", "code", card.UserCardCode, "consent", "signed")
	p.eventually(t, func() bool { return p.fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode) == 1 })
	_, page, _ = boss.get("/staff/records")
	for _, what := range []string{"admin", "查看手机号", "修改等级：金卡", "再试任务", "申请作废，依据：signed", "修改密码"} {
		assert.Contains(t, page, what)
	}
	assert.NotContains(t, page, card.UserCardCode)

	for _, line := range []string{`platform_members{state="INVALID",unsent=""} 1`, `platform_attention{kind="details",state="decided"} 1`, `wechatpay_attempts_total{code="",operation="InvalidateUserCard",status="200"} 1`, "go_goroutines"} {
		p.eventually(t, func() bool { // the fake has carried it out before the platform has the answer
			response, err := http.Get(p.url + "/metrics")
			require.NoError(t, err)
			_, page, _ = boss.read(response, nil)
			return strings.Contains(page, line)
		})
	}
	assert.NotContains(t, page, "o-1\"")
}

// closeNext has the staff close the refusal that is before them, once there is one.
func (p *platform) closeNext(t *testing.T, boss *visitor) {
	t.Helper()
	decision := ""
	p.eventually(t, func() bool {
		_, page, _ := boss.get("/staff/")
		decision = regexp.MustCompile(`/staff/decisions/\d+`).FindString(page)
		return decision != ""
	})
	p.eventually(t, func() bool { status, _, _ := boss.post(decision); return status == http.StatusOK })
}

// TestClosedInvalidation: one that was refused and closed can be asked for anew.
func TestClosedInvalidation(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	boss := p.boss(t)
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 403, Code: "NO_AUTH", Operation: membercard.OperationInvalidateUserCard})
	consent := of(card, map[string]any{"consent": "signed"})
	require.Equal(t, http.StatusNoContent, p.post(t, "/invalidations", consent))
	p.closeNext(t, boss)
	require.Equal(t, http.StatusNoContent, p.post(t, "/invalidations", consent))
	p.eventually(t, func() bool { return p.fake.Effects(membercard.OperationInvalidateUserCard, card.UserCardCode) == 1 })
}

// TestClosedDetails: a phone number that was refused and closed goes along with no later change.
func TestClosedDetails(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	boss := p.boss(t)
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "PARAM_ERROR", Operation: membercard.OperationUpdateUserCard})
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"phone_number": "13900001234"})))
	p.closeNext(t, boss)
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"level": "金卡"})))
	p.eventually(t, func() bool {
		now, _ := p.fake.UserCard(card.CardID, card.UserCardCode)
		return now.Level == "金卡"
	})
	now, _ := p.fake.UserCard(card.CardID, card.UserCardCode)
	plain, err := p.keys.client().Decrypt(now.PhoneNumber)
	require.NoError(t, err)
	assert.NotEqual(t, "13900001234", plain)
}

// TestPointsByHand are booked once for each form, with who and why.
func TestPointsByHand(t *testing.T) {
	p := newPlatform(t)
	card := p.member(t, "o-1")
	boss := p.boss(t)
	_, page, _ := boss.post("/staff/search", "q", "o-1")
	member := memberLink.FindString(page)
	_, page, _ = boss.get(member)
	token := regexp.MustCompile(`name="token" value="(\w+)"`).FindStringSubmatch(page)[1]
	for range 2 {
		boss.post(member+"/points", "token", token, "points", "7", "reason", "生日")
	}
	_, page, _ = boss.post(member+"/points", "token", "another", "points", "-8", "reason", "生日")
	assert.Contains(t, page, "积分不足")
	p.eventually(t, func() bool { return p.fake.Points(card.CardID, card.UserCardCode) == 7 })
	_, page, _ = boss.get("/staff/records")
	assert.Contains(t, page, "7：生日")
	assert.Equal(t, 1, p.ask(t, "SELECT COUNT(*) FROM records WHERE member <> '' AND what LIKE '%生日'"), "what was not booked is not recorded")
}

// TestASessionThatEnded stays so, though a request under way writes it when it is over.
func TestASessionThatEnded(t *testing.T) {
	p := newPlatform(t)
	s := sessions{p.store}
	later := time.Now().Add(time.Hour)
	require.NoError(t, s.Commit("token", []byte("data"), later))
	data, found, err := s.Find("token")
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, "data", string(data))
	require.NoError(t, s.Delete("token"))
	require.NoError(t, s.Commit("token", []byte("data"), later))
	_, found, err = s.Find("token")
	require.NoError(t, err)
	assert.False(t, found)
}

// TestALargeForm is not read, and a lost password is no promotion.
func TestALargeForm(t *testing.T) {
	p := newPlatform(t)
	first, err := p.store.firstStaff(t.Context())
	require.NoError(t, err)
	status, _, _ := p.visitor(t).post("/staff/sign-in", "name", "admin", "password", first, "more", strings.Repeat("x", 1<<20))
	assert.Equal(t, http.StatusForbidden, status, "though the password is right")
	_, err = p.store.addStaff(t.Context(), "小李", roleLook)
	require.NoError(t, err)
	password, err := p.store.newPassword(t.Context(), "小李")
	require.NoError(t, err)
	who, err := p.store.signIn(t.Context(), "小李", password)
	require.NoError(t, err)
	assert.Equal(t, roleLook, who.Role)
	_, err = p.store.newPassword(t.Context(), "小王")
	require.ErrorContains(t, err, "no account")
}

// TestInABrowser goes through the pages as somebody of the staff does. PICTURES names the folder for what the browser showed.
func TestInABrowser(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
		}
	}
	if browser == "" {
		t.Skip("there is no Chromium")
	}
	p := newPlatform(t)
	card := p.member(t, "o-1")
	require.Equal(t, http.StatusNoContent, p.post(t, "/points", of(card, map[string]any{"id": "2026-0001", "points": 70})))
	require.Equal(t, http.StatusNoContent, p.post(t, "/details", of(card, map[string]any{"phone_number": "13900001234"})))
	p.eventually(t, func() bool { return p.fake.Effects(membercard.OperationUpdateUserCard, card.UserCardCode) == 1 })
	p.fake.Inject(membercardtest.Fault{Kind: membercardtest.FaultStatus, Status: 400, Code: "INVALID_REQUEST", Operation: membercard.OperationUpdateUserCard})
	first, err := p.store.firstStaff(t.Context())
	require.NoError(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.Flag("lang", "zh-CN"), chromedp.Flag("accept-lang", "zh-CN"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, actions...))
	}
	fill := func(selector, text string) {
		t.Helper()
		do(chromedp.SendKeys(chromedp.CSS(selector), text))
	}
	is := func(expression string) bool { // false while the browser goes to another page
		value, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		return err == nil && value
	}
	sees := func(text string) {
		t.Helper()
		p.eventually(t, func() bool { return is("document.body.innerText.includes(`" + text + "`)") })
	}
	becomes := func(path, text string) { // when the page is opened again
		t.Helper()
		p.eventually(t, func() bool {
			do(chromedp.Navigate(p.url + path))
			return is("document.body.innerText.includes(`" + text + "`)")
		})
	}
	picture := func(name string) {
		t.Helper()
		data, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		require.NoError(t, err)
		if dir := os.Getenv("PICTURES"); dir != "" {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "staff-"+name+".png"), data, 0o600))
		}
	}
	click := func(selector string) {
		t.Helper()
		require.True(t, is("window.before = true"))
		do(chromedp.Click(chromedp.CSS(selector)))
		p.eventually(t, func() bool { return is("window.before === undefined && document.readyState === 'complete'") })
	}
	do(chromedp.EmulateViewport(1200, 800), chromedp.Navigate(p.url+"/"))
	sees("登录")
	fill("input[name=name]", "admin")
	fill("input[name=password]", first)
	click("main button")
	sees("首次登录请设置自己的密码")
	fill("input[name=old]", first)
	fill("input[name=new]", "a long password")
	fill("input[name=again]", "a long password")
	picture("password")
	click("main button")
	sees("需要关注")

	fill("input[name=q]", "o-1")
	click("form.line button")
	sees(card.UserCardCode)
	click("table a")
	sees("***********")
	sees("+70")
	click("td button")
	sees("13900001234")
	fill("input[name=level]", "金卡")
	click("section:not(.danger) > form button")
	m, err := p.store.member(t.Context(), nil, cardName{card.CardID, card.UserCardCode})
	require.NoError(t, err)
	becomes("/staff/members/"+m.id, "再试一次")
	picture("member")
	fill("input[name=consent]", "柜台签字")
	fill("input[name=code]", "another")
	click(".danger button")
	sees("未作废")
	fill("input[name=consent]", "柜台签字")
	fill("input[name=code]", card.UserCardCode)
	click(".danger button")
	becomes("/staff/members/"+m.id, "已失效")
	do(chromedp.Navigate(p.url + "/staff/"))
	picture("overview")

	file := filepath.Join(t.TempDir(), "members.csv")
	require.NoError(t, os.WriteFile(file, []byte(head+"o-2,M-2,金卡,\no-3,M-👑,,\n"), 0o600))
	fill("input[name=brand_id]", card.BrandID)
	fill("input[name=card_id]", card.CardID)
	do(chromedp.SetUploadFiles(chromedp.CSS("input[name=file]"), []string{file}))
	click("form[enctype] button")
	sees("未导入的行")
	picture("import")
	do(chromedp.Navigate(p.url + "/staff/records"))
	sees("申请作废")
	picture("records")
	do(chromedp.Navigate(p.url + "/staff/river/jobs?state=completed"))
	sees("notification")
	picture("river")
}

'use strict';

const texts = {
  zh: {
    title: '模拟微信支付', other: 'English', reset: '重置', clearRequests: '清空请求', requests: '请求', requestsHint: '点击一行查看详情。个人信息默认隐藏。',
    templates: '会员卡模板', members: '用户会员卡', template: '模板', member: '会员卡', openCard: '用户开卡', open: '开卡', notification: '回调通知', event: '事件',
    probe: '第一次发探测流量（错误签名）', deliver: '发送', fault: '故障', kind: '种类', status: '状态码', code: '错误码', times: '次数', afterEffect: '先执行请求',
    inject: '注入', clearFaults: '清除故障', show: '显示个人信息', hide: '隐藏个人信息', verified: '用于验签的串', signed: '实际签名的串（推断）', unknown: '无法推断',
    headers: '请求头', body: '请求体', reason: '原因', source: '依据', ok: '通过', refused: '拒绝', violation: '违反协议', noAnswer: '未应答', remove: '用户删除', points: '积分',
    none: '暂无', done: '完成', edition: '版本', partner: '服务商', brand: '品牌商户', rate: '限频', unlimited: '不限', delivered: '各次投递的状态码：', encrypted: '［密文］',
  },
  en: {
    title: 'Fake WeChat Pay', other: '中文', reset: 'Reset', clearRequests: 'Clear requests', requests: 'Requests', requestsHint: 'A line opens its details. Personal values are hidden.',
    templates: 'Card templates', members: 'Cards of users', template: 'Template', member: 'Card', openCard: 'A user opens a card', open: 'Open', notification: 'Notification', event: 'Event',
    probe: 'first a probe with a wrong signature', deliver: 'Deliver', fault: 'Fault', kind: 'Kind', status: 'Status', code: 'Error code', times: 'Times', afterEffect: 'after the request was carried out',
    inject: 'Inject', clearFaults: 'Clear faults', show: 'Show personal values', hide: 'Hide personal values', verified: 'Message that was verified', signed: 'Message that was probably signed', unknown: 'cannot be told',
    headers: 'Headers', body: 'Body', reason: 'Reason', source: 'Source', ok: 'accepted', refused: 'refused', violation: 'violates the protocol', noAnswer: 'no answer', remove: 'User deletes it', points: 'points',
    none: 'none yet', done: 'Done', edition: 'Edition', partner: 'service provider', brand: 'brand', rate: 'Rate', unlimited: 'no limit', delivered: 'Status of each delivery: ', encrypted: '[encrypted]',
  },
};

let language = navigator.language.startsWith('zh') ? 'zh' : 'en';
const t = (name) => texts[language][name];
const $ = (id) => document.getElementById(id);
const hidden = '•••';
const shown = new Set(); // what the user has asked to see
const openRequests = new Set();
const requests = new Map();
let state = { cards: [], user_cards: [] };

// element makes an element; what it holds is text or other elements, never HTML.
function element(tag, attributes, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === 'onclick') made.addEventListener('click', value);
    else made.setAttribute(name, value);
  }
  made.append(...content.map((c) => (c instanceof Node ? c : String(c))));
  return made;
}

async function call(method, path, body) {
  const answer = await fetch(path, {
    method, headers: body === undefined ? {} : { 'Content-Type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const value = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(value?.error ?? answer.statusText);
  return value;
}

// run calls the control API for a button, says how it went, and shows what is there now.
async function run(action) {
  try {
    const said = await action();
    $('notice').className = 'good';
    $('notice').textContent = said ?? t('done');
  } catch (error) {
    $('notice').className = 'bad';
    $('notice').textContent = error.message;
  }
  await refresh();
}

const personal = ['openid', 'user_card_code', 'phone_number', 'value', 'user_chosen_values'];

// personalValues collects what is personal in a request, to hide it wherever it stands.
function personalValues(request) {
  const values = new Set();
  const collect = (value, inside) => {
    if (typeof value === 'string' && inside) values.add(value);
    if (Array.isArray(value)) value.forEach((v) => collect(v, inside));
    else if (value && typeof value === 'object') Object.entries(value).forEach(([name, v]) => collect(v, personal.includes(name)));
  };
  try { collect(JSON.parse(request.body), false); } catch { /* no JSON */ }
  const [path, query] = request.uri.split('?');
  for (const [name, value] of new URLSearchParams(query ?? '')) if (personal.includes(name)) values.add(value);
  const segments = path.split('/');
  const code = segments[segments.indexOf('user-cards') + 1];
  if (segments.includes('user-cards') && code && !code.startsWith('import-by')) { values.add(code); values.add(decodeSafely(code)); }
  return [...values].filter((v) => v !== '').sort((a, b) => b.length - a.length);
}

function decodeSafely(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// veil hides values in a text; ciphertexts are always named for what they are.
function veil(text, values, isShown) {
  let veiled = text;
  for (const value of values) {
    const ciphertext = /^[A-Za-z0-9+/]{342,684}={0,2}$/.test(value);
    if (ciphertext) veiled = veiled.replaceAll(value, t('encrypted'));
    else if (!isShown) for (const form of [value, encodeURIComponent(value)]) veiled = veiled.replaceAll(form, hidden);
  }
  return veiled;
}

function verdict(request) {
  if (request.status === 0) return ['bad', t('noAnswer')];
  if (request.violation) return ['bad', t('violation')];
  return request.status < 300 ? ['good', t('ok')] : ['bad', t('refused')];
}

function requestItem(request) {
  const key = `request ${request.number}`;
  const isOpen = openRequests.has(request.number);
  const values = personalValues(request);
  const see = (text) => veil(text, values, shown.has(key));
  const [className, word] = verdict(request);
  const line = element('button', { type: 'button', class: 'line', 'aria-expanded': String(isOpen), onclick: () => toggle(openRequests, request.number) },
    element('span', {}, `#${request.number}`), element('span', {}, request.time.slice(11, 23)),
    element('strong', {}, request.operation || `${request.method} ${see(request.uri.split('?')[0])}`),
    element('span', { class: className }, `${request.status || ''} ${request.code} ${word}`));
  const item = element('li', { 'data-number': request.number }, line);
  if (request.reason) {
    item.append(element('div', {}, see(language === 'zh' && request.message ? `${request.message}。${request.reason}` : request.reason)));
  }
  if (!isOpen) return item;
  item.append(element('button', { type: 'button', onclick: () => toggle(shown, key) }, shown.has(key) ? t('hide') : t('show')));
  if (request.source) item.append(element('p', {}, `${t('source')}: ${request.source}`));
  if (request.verified) {
    item.append(element('div', { class: 'pair' },
      element('div', {}, t('verified'), element('pre', {}, see(request.verified))),
      element('div', {}, t('signed'), element('pre', {}, request.signed ? see(request.signed) : t('unknown')))));
  }
  const headers = Object.entries(request.header).map(([name, all]) => `${name}: ${all.join(', ')}`).join('\n');
  item.append(element('pre', {}, `${request.method} ${see(request.uri)}`), t('headers'), element('pre', {}, see(headers)), t('body'), element('pre', {}, see(request.body)),
    element('p', {}, `Request-ID: ${request.request_id}`));
  return item;
}

function toggle(set, key) {
  if (!set.delete(key)) set.add(key);
  draw();
}

function memberItem(card) {
  const key = `member ${card.card_id} ${card.user_card_code ?? ''} ${card.openid ?? ''}`;
  const see = (text) => (shown.has(key) ? text : hidden);
  return element('li', {},
    element('div', {}, `${t('template')} ${card.card_id}`),
    element('div', {}, `code ${see(card.user_card_code ?? '')} · openid ${see(card.openid ?? '')} · ${see(card.phone_number ?? '')}`),
    element('div', {}, element('strong', {}, card.user_card_state), ` ${card.level ?? ''} · ${t('points')} ${card.points}`),
    element('button', { type: 'button', onclick: () => toggle(shown, key) }, shown.has(key) ? t('hide') : t('show')), ' ',
    element('button', { type: 'button', onclick: () => run(() => call('POST', 'user-cards/delete', { card_id: card.card_id, user_card_code: card.user_card_code })) }, t('remove')));
}

// fill replaces the children of a list, and keeps the keyboard where it was.
function fill(list, items) {
  const at = [...list.children].findIndex((child) => child.contains(document.activeElement));
  const focused = at < 0 ? -1 : [...list.children[at].querySelectorAll('button')].indexOf(document.activeElement);
  const number = at < 0 ? null : list.children[at].dataset.number;
  list.replaceChildren(...(items.length ? items : [element('li', {}, t('none'))]));
  if (at < 0) return;
  const again = number === undefined ? list.children[at] : [...list.children].find((child) => child.dataset.number === number);
  again?.querySelectorAll('button')[focused]?.focus();
}

function options(select, entries) {
  const value = select.value;
  select.replaceChildren(...entries.map(([key, text]) => element('option', { value: key }, text)));
  if (entries.some(([key]) => key === value)) select.value = value;
}

function draw() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const labelled of document.querySelectorAll('[data-text]')) labelled.textContent = t(labelled.dataset.text);
  document.title = t('title');
  $('language').textContent = t('other');
  $('service').textContent = `${t('edition')}: ${t(state.edition) ?? ''} ${state.caller ?? ''} · ${t('rate')}: ${state.per_second || t('unlimited')}`;
  fill($('requests'), [...requests.values()].sort((a, b) => b.number - a.number).slice(0, 200).map(requestItem));
  fill($('cards'), state.cards.map((card) => element('li', {}, element('strong', {}, card.card_title), ` ${card.card_id} · ${card.state} · ${card.code_mode} · brand ${card.brand_id}`)));
  fill($('members'), state.user_cards.map(memberItem));
  options($('open').card_id, state.cards.map((card) => [card.card_id, `${card.card_title} ${card.card_id}`]));
  options($('notify').member, state.user_cards.map((card, i) => [JSON.stringify([card.card_id, card.user_card_code ?? '', card.openid ?? '']), `${i + 1}. ${card.card_id} ${card.user_card_state}`]));
  fill($('faults'), (state.faults ?? []).map((fault) => element('li', {}, `${fault.kind} ${fault.status ?? ''} ${fault.code ?? ''} × ${fault.times}`)));
}

async function refresh() {
  state = await call('GET', 'state');
  state.faults = await call('GET', 'faults');
  draw();
}

async function load() {
  requests.clear();
  for (const request of await call('GET', 'requests')) requests.set(request.number, request);
  await refresh();
}

function submit(form, action) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    run(() => action(fields));
  });
}

$('language').addEventListener('click', () => { language = language === 'zh' ? 'en' : 'zh'; draw(); });
$('reset').addEventListener('click', () => run(async () => { await call('POST', 'reset'); requests.clear(); }));
$('clear').addEventListener('click', () => run(async () => { await call('DELETE', 'requests'); requests.clear(); }));
$('clear-faults').addEventListener('click', () => run(() => call('DELETE', 'faults')));
submit($('open'), async (fields) => { await call('POST', 'user-cards/open', fields); });
submit($('notify'), async (fields) => {
  const [cardID, code, openID] = JSON.parse(fields.member);
  const delivered = await call('POST', 'notifications', {
    card_id: cardID, user_card_code: code, openid: openID, event: fields.event, url: fields.url,
    fault: fields.probe ? 'signature probe' : '', repeats_ms: fields.probe ? [100] : [],
  });
  if (!delivered.accepted) throw new Error(t('delivered') + delivered.statuses.join(', '));
  return t('delivered') + delivered.statuses.join(', ');
});
submit($('fault'), async (fields) => {
  const fault = { kind: fields.kind, times: Number(fields.times), after_effect: Boolean(fields.after_effect) };
  if (['error answer', 'unsigned answer', 'HTML answer', 'empty answer'].includes(fields.kind)) Object.assign(fault, { status: Number(fields.status), code: fields.code });
  await call('POST', 'faults', fault);
});

const events = new EventSource('requests/events');
events.addEventListener('message', (event) => {
  const request = JSON.parse(event.data);
  requests.set(request.number, request);
  refresh();
});
events.addEventListener('open', load);

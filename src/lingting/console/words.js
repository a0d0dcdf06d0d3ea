// Every text of the page in English and Chinese. `{name}` stands for a value.

const EN = {
  sections: "Sections",
  tab_speak: "Speak",
  tab_file: "File",
  tab_operator: "Operator",
  sign_in: "Sign in",
  sign_out: "Sign out",
  sign_in_title: "Speech to text, on your own server",
  sign_in_lead: "Speak and watch the text grow, or drop a recording. Nothing leaves this server.",
  key_label: "API key",
  key_hint: "The key begins with lt-. Each start of the server prints a link that signs in, the first one a key too; an operator makes more with “{command} keys create NAME”. It stays in this tab and is forgotten when you close it.",
  key_wrong: "The server does not know this key, or it was revoked. Check that you copied all of it, or ask the operator for a new one (“{command} keys create NAME”).",
  link_used: "This link was used already or is older than 15 minutes. The next start of the server prints a new one; or sign in with an API key.",
  key_ended: "Your key is no longer accepted: it expired or was revoked. Sign in with another one.",

  start: "Start",
  stop: "Stop",
  finishing: "Finishing …",
  speak_empty: "Press Start and speak, Chinese or English. The text appears here while you speak.",
  speak_ready: "The microphone is off.",
  speak_asking: "The browser asks for the microphone: allow it.",
  speak_listening: "Listening.",
  speak_away: "The server does not answer. I go on listening, and send everything when it is back.",
  speak_away_stopped: "The server does not answer. Your sound is kept here and is sent when it is back.",
  speak_draining: "The server is being restarted. I go on listening, and send everything when it is back.",
  speak_draining_stopped: "The server is being restarted. Your sound is kept here and is sent when it is back.",
  speak_busy: "The server is busy. I go on listening, and send everything as soon as it takes more.",
  speak_busy_stopped: "The server is busy. Your sound is kept here and is sent as soon as it takes more.",
  speak_full: "As many streams are open as your tenant may have. I go on listening until one ends.",
  speak_full_stopped: "As many streams are open as your tenant may have. Your sound is kept here until one ends.",
  speak_failing: "The server fails just now. I go on listening, and try again.",
  speak_failing_stopped: "The server fails just now. Your sound is kept here, and it is tried again.",
  stop_waiting: "Stop waiting",
  speak_rest: "{seconds} s of this recording have no text yet.",
  speak_rest_button: "Recognise the rest",
  mic_on: "The microphone is on",
  text_label: "Text",
  recording_label: "Recording",
  undo: "Undo",
  new_text: "New text",
  options: "Options",
  language_label: "Language",
  language_auto: "Chinese or English",
  language_zh: "Chinese",
  language_en: "English",
  hot_words_note: "They count from the next Start on. Each is written where something was heard that sounds nearly like it: Chinese words of two characters or more (three are safer), English ones of four sounds or more. What sounds different is left alone.",
  hot_words_file_note: "Each is written where something was heard that sounds nearly like it: Chinese words of two characters or more (three are safer), English ones of four sounds or more. Both fields count for files chosen from now on.",
  history_title: "Earlier texts on this device ({count})",
  history_note: "Texts and recordings stay in this browser, so that a reload or a closed tab loses nothing. Whoever can use this browser can open them.",
  history_keep: "Keep them. Off deletes all of them.",
  history_none: "There are none.",
  history_no_text: "No text yet",
  delete: "Delete",
  speak_quiet: "Listening, but there is no sound. Check that the right microphone is chosen and not muted.",
  speak_behind: "Listening. {seconds} s of sound wait to be heard by the server.",
  speak_finishing: "Waiting for the final text.",
  speak_done: "Done. {seconds} s of audio.",
  speak_nothing: "No speech was heard. Speak closer to the microphone and try again.",
  speak_lost: "The microphone was disconnected. What was heard until then is below.",
  reply_time: "Reply to a packet",
  first_text: "First text after speech",
  final_text: "Final text after stop",
  legend_confirmed: "Confirmed text",
  legend_guess: "Still a guess",
  copy: "Copy text",
  copied: "Copied",
  copy_failed: "Select and copy by hand",
  mic_denied: "The browser may not use the microphone for this page. Allow it in the browser's site settings (the icon beside the address), then press Start again.",
  mic_missing: "There is no microphone. Connect one, then press Start again. A recording can be dropped under File.",
  mic_busy: "The microphone cannot be used: another program may hold it. Close that program, then press Start again.",
  mic_insecure: "Browsers give the microphone only to pages over HTTPS or on this very machine. Open this page as https://…, or ask the operator to turn TLS on (LINGTING_TLS_CERTIFICATE and LINGTING_TLS_KEY). Files work as they are.",
  mic_old_browser: "This browser cannot record with AudioWorklet. Use a current Chrome, Edge, Firefox or Safari.",

  drop_title: "Drop recordings here, or choose files",
  drop_hint: "wav, mp3, flac, ogg, opus, aac, m4a, mp4, amr, webm, pcm · up to {megabytes} MB, {length}",
  hot_words: "Names and terms to listen for, with commas between (optional)",
  hot_words_example: "Zhang Wei, Kubernetes",
  speakers_wanted: "Tell speakers apart",
  speaker_said: "Speaker {name}",
  queue_label: "Recordings",
  job_waiting: "Waiting for its turn",
  job_sending: "Sending: {percent} %",
  job_reading: "Reading the file …",
  job_recognising: "Recognising: {percent} % of {length}",
  job_busy: "The server is busy; it is asked again in a moment",
  job_done: "Done, {length}",
  job_failed: "Failed",
  job_cancelled: "Cancelled",
  try_again: "Try again",
  remove: "Remove",
  edit: "Edit",
  search: "Search",
  search_found: "Found: {count}",
  cancel: "Cancel",
  summary_so_far: "{length} of audio, sentences so far: {count}",
  summary: "{length} of audio, recognised in {seconds} s, sentences: {count}",
  no_speech: "No speech was found in this recording. If there is some, check the volume and the channel.",
  unplayable: "This browser cannot play this format. The text and its times are right all the same.",
  download: "Download",
  too_large_here: "The file has {megabytes} MB and this server takes up to {limit} MB. Convert it to opus or mp3, or cut it.",
  empty_file: "The file is empty. Choose another one.",

  state: "Server",
  state_ready: "Ready",
  state_loading: "Loading",
  state_draining: "Stopping",
  state_unready: "Not ready",
  state_why: "Requests should go elsewhere just now ({detail}).",
  uptime: "for {length}",
  last_day: "The last day",
  last_day_note: "in quarters of an hour; since the last start",
  chart_streams: "Live streams, the most at once",
  chart_late: "Final text of speech: how late",
  chart_requests: "Requests",
  chart_told: "{title}, last day: at most {most}",
  models: "Models",
  model: "Model",
  memory: "Memory",
  restarts: "Engine restarts",
  recognises: "Recognition",
  recognised_ago: "worked {length} ago",
  none_models: "No model is loaded.",
  better_model: "{name} would be better here ({megabytes} MB of memory, by what others measured): {commands}",
  server_errors: "Server's errors",
  caller_errors: "Callers' errors",
  owner: "Who",
  live_streams: "Live streams",
  queued_jobs: "Jobs waiting",
  predicted_wait: "Wait for a new file",
  answers: "Answer times",
  answers_window: "last 5 minutes",
  usage: "Usage by tenant",
  usage_days: "today and this month, UTC",
  tenant: "Tenant",
  audio: "Audio",
  open_for: "Open for",
  last_packet: "Last packet",
  ending: "ending",
  interface: "Interface",
  requests: "Requests",
  errors: "Errors",
  median: "Median",
  p95: "95 %",
  longest: "Longest",
  today: "today",
  month: "month",
  none_live: "No one is speaking.",
  none_answered: "Nothing was asked lately.",
  none_used: "Nothing was used yet.",
  operator_refused: "Your key does not have the scope “operator”. Someone with access to the server can make a key that has it: {command} keys create NAME --operator. Sign out, then sign in with that key.",
  operator_stale: "The server does not answer. What is shown is from {clock}; it goes on by itself.",

  key_refused: "The server no longer accepts this key. Sign out and sign in with another one.",
  not_allowed: "This key may not do that ({detail}).",
  too_large: "The server takes no more than that at once ({detail}).",
  no_audio: "The server cannot read this as audio ({detail}). Convert it to wav, mp3 or m4a and try again.",
  too_many: "A limit of your tenant is reached ({detail}). Wait a moment and try again.",
  busy: "The server is busy ({detail}).",
  server_failed: "The server failed on this. Try again; if it stays, give the operator this id: {logId}.",
  refused: "The server refused this ({detail}).",
  no_answer: "The server does not answer. Check the network and whether the server runs, then try again.",
  retrying: "Trying again: {reason}",
};

const ZH = {
  sections: "栏目",
  tab_speak: "说话",
  tab_file: "文件",
  tab_operator: "运维",
  sign_in: "登录",
  sign_out: "退出",
  sign_in_title: "自己服务器上的语音转文字",
  sign_in_lead: "边说边出字，或拖入一段录音。数据不会离开这台服务器。",
  key_label: "API 密钥",
  key_hint: "密钥以 lt- 开头。服务器每次启动都会打印一个登录链接，第一次启动还会打印一个密钥；运维人员可用“{command} keys create 名称”再创建。密钥只留在本标签页，关闭即忘。",
  key_wrong: "服务器不认识这个密钥，或者它已被吊销。请检查是否复制完整，或向运维人员要一个新的（{command} keys create 名称）。",
  link_used: "这个链接已经用过，或已超过 15 分钟。服务器下次启动会打印新的；也可以用 API 密钥登录。",
  key_ended: "密钥已失效：过期或被吊销。请换一个密钥登录。",

  start: "开始",
  stop: "停止",
  finishing: "收尾中……",
  speak_empty: "点“开始”，说中文或英文，文字会随说随出。",
  speak_ready: "麦克风未开启。",
  speak_asking: "浏览器正在请求麦克风权限，请允许。",
  speak_listening: "正在听。",
  speak_away: "服务器没有应答。我会继续听，等它恢复后全部补发。",
  speak_away_stopped: "服务器没有应答。声音保存在这里，等它恢复后发送。",
  speak_draining: "服务器正在重启。我会继续听，等它恢复后全部补发。",
  speak_draining_stopped: "服务器正在重启。声音保存在这里，等它恢复后发送。",
  speak_busy: "服务器正忙。我会继续听，等它空闲后全部补发。",
  speak_busy_stopped: "服务器正忙。声音保存在这里，等它空闲后发送。",
  speak_full: "租户可用的语音流已满。我会继续听，等其中一条结束。",
  speak_full_stopped: "租户可用的语音流已满。声音保存在这里，等其中一条结束。",
  speak_failing: "服务器暂时出错。我会继续听，并再次尝试。",
  speak_failing_stopped: "服务器暂时出错。声音保存在这里，会再次尝试。",
  stop_waiting: "不再等待",
  speak_rest: "这段录音还有 {seconds} 秒没有转成文字。",
  speak_rest_button: "识别其余部分",
  mic_on: "麦克风已开启",
  text_label: "文字",
  recording_label: "录音",
  undo: "撤销",
  new_text: "新建",
  options: "选项",
  language_label: "语言",
  language_auto: "中文或英文",
  language_zh: "中文",
  language_en: "英文",
  hot_words_note: "从下一次点“开始”起生效。听到发音相近的内容时写成这里的词：中文两个字以上（三个字以上更稳妥），英文四个音以上；发音不同的内容不受影响。",
  hot_words_file_note: "听到发音相近的内容时写成这里的词：中文两个字以上（三个字以上更稳妥），英文四个音以上。两项都对此后选择的文件生效。",
  history_title: "本设备上的历史文字（{count}）",
  history_note: "文字和录音保存在这个浏览器里，刷新或关闭标签页都不会丢失。能使用这个浏览器的人都可以打开它们。",
  history_keep: "保留。关闭会全部删除。",
  history_none: "还没有。",
  history_no_text: "还没有文字",
  delete: "删除",
  speak_quiet: "正在听，但没有声音。请检查麦克风是否选对、是否静音。",
  speak_behind: "正在听。还有 {seconds} 秒声音等待服务器收听。",
  speak_finishing: "正在等待最终文字。",
  speak_done: "完成，共 {seconds} 秒音频。",
  speak_nothing: "没有听到说话。请靠近麦克风再试一次。",
  speak_lost: "麦克风已断开。此前听到的内容在下方。",
  reply_time: "单包应答",
  first_text: "开口到首字",
  final_text: "停止到定稿",
  legend_confirmed: "已确认的文字",
  legend_guess: "仍在猜测",
  copy: "复制文字",
  copied: "已复制",
  copy_failed: "请手动选择复制",
  mic_denied: "浏览器不允许本页面使用麦克风。请在浏览器的网站设置（地址栏旁的图标）中允许，然后再点“开始”。",
  mic_missing: "没有找到麦克风。请接好后再点“开始”；也可以在“文件”里拖入录音。",
  mic_busy: "麦克风无法使用，可能被其他程序占用。请关闭该程序后再点“开始”。",
  mic_insecure: "浏览器只允许 HTTPS 页面或本机页面使用麦克风。请用 https:// 打开本页面，或请运维人员开启 TLS（LINGTING_TLS_CERTIFICATE 与 LINGTING_TLS_KEY）。文件识别不受影响。",
  mic_old_browser: "这个浏览器不支持 AudioWorklet 录音。请使用新版 Chrome、Edge、Firefox 或 Safari。",

  drop_title: "拖入录音，或点击选择文件",
  drop_hint: "wav、mp3、flac、ogg、opus、aac、m4a、mp4、amr、webm、pcm · 最大 {megabytes} MB、{length}",
  hot_words: "需要留意的人名和术语，用逗号隔开（可不填）",
  hot_words_example: "张伟，Kubernetes",
  speakers_wanted: "区分说话人",
  speaker_said: "说话人 {name}",
  queue_label: "录音",
  job_waiting: "排队中",
  job_sending: "正在发送：{percent} %",
  job_reading: "正在读取文件……",
  job_recognising: "正在识别：{length} 的 {percent} %",
  job_busy: "服务器正忙，稍后再试",
  job_done: "完成，{length}",
  job_failed: "失败",
  job_cancelled: "已取消",
  try_again: "重试",
  remove: "移除",
  edit: "编辑",
  search: "搜索",
  search_found: "{count} 句",
  cancel: "取消",
  summary_so_far: "音频 {length}，目前 {count} 句",
  summary: "音频 {length}，{count} 句，识别用时 {seconds} 秒",
  no_speech: "这段录音里没有找到说话声。如果确有人声，请检查音量和声道。",
  unplayable: "这个浏览器无法播放该格式，但文字和时间都是准确的。",
  download: "下载",
  too_large_here: "文件有 {megabytes} MB，服务器最多接收 {limit} MB。请转成 opus 或 mp3，或剪短后再试。",
  empty_file: "文件是空的，请另选一个。",

  state: "服务器",
  state_ready: "就绪",
  state_loading: "加载中",
  state_draining: "停止中",
  state_unready: "未就绪",
  state_why: "现在应把请求转到别处，原因见 /readyz（{detail}）。",
  uptime: "已运行 {length}",
  last_day: "最近一天",
  last_day_note: "每一刻钟一格，从上次启动起",
  chart_streams: "实时语音流，同时最多",
  chart_late: "说完到定稿的延迟",
  chart_requests: "请求",
  chart_told: "{title}，最近一天最多 {most}",
  models: "模型",
  model: "模型",
  memory: "内存",
  restarts: "引擎重启",
  recognises: "识别",
  recognised_ago: "{length}前正常",
  none_models: "还没有加载模型。",
  better_model: "这里可以换用更好的 {name}（内存约 {megabytes} MB，依据他人的测评）：{commands}",
  server_errors: "服务器的错误",
  caller_errors: "调用方的错误",
  owner: "使用者",
  live_streams: "实时语音流",
  queued_jobs: "排队任务",
  predicted_wait: "新文件等待",
  answers: "应答时间",
  answers_window: "最近 5 分钟",
  usage: "各租户用量",
  usage_days: "今天与本月，UTC",
  tenant: "租户",
  audio: "音频",
  open_for: "已持续",
  last_packet: "上一个包",
  ending: "收尾中",
  interface: "接口",
  requests: "请求",
  errors: "出错",
  median: "中位数",
  p95: "95 %",
  longest: "最长",
  today: "今天",
  month: "本月",
  none_live: "现在没有人在说话。",
  none_answered: "最近没有请求。",
  none_used: "还没有用量。",
  operator_refused: "这个密钥没有“operator”权限。能登录服务器的人可以创建一个：{command} keys create 名称 --operator。然后退出，用新密钥登录。",
  operator_stale: "服务器没有应答。现在显示的是 {clock} 的数据，恢复后会自动更新。",

  key_refused: "服务器不再接受这个密钥。请退出并换一个密钥登录。",
  not_allowed: "这个密钥无权这样做（{detail}）。",
  too_large: "超出服务器一次能接收的大小（{detail}）。",
  no_audio: "服务器无法把它当作音频读取（{detail}）。请转成 wav、mp3 或 m4a 再试。",
  too_many: "已达到租户的限额（{detail}）。请稍等再试。",
  busy: "服务器正忙（{detail}）。",
  server_failed: "服务器处理失败。请再试一次；若仍失败，请把这个编号告诉运维人员：{logId}。",
  refused: "服务器拒绝了请求（{detail}）。",
  no_answer: "服务器没有应答。请检查网络以及服务器是否在运行，然后再试。",
  retrying: "正在重试：{reason}",
};

const STORED = "lingting-language";
const LANGUAGES = { en: EN, zh: ZH };
const listeners = [];
let language = stored() ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/** The language in force, "en" or "zh". */
export const currentLanguage = () => language;

/** Changes the language of the whole page. */
export function setLanguage(name) {
  language = name;
  try {
    localStorage.setItem(STORED, name);
  } catch {
    // private windows may refuse; the choice then holds for this page only
  }
  translate();
}

/** Calls `listener` on every change of language. */
export const onLanguage = (listener) => listeners.push(listener);

/** A text in the language in force. */
export function words(name, values = {}) {
  let text = LANGUAGES[language][name];
  // the server speaks English: what it says stands in no Chinese sentence
  if (language === "zh") text = text.replace(/[（(]\{detail\}[）)]/, "");
  const known = { command: document.documentElement.dataset.command, ...values };
  return text.replace(/\{(\w+)\}/g, (_, key) => String(known[key] ?? "").replace(key === "detail" ? /[.。]$/ : "", ""));
}

/** Puts a text into an element, in whatever language is chosen later too; an empty name hides a notice. */
export function say(element, name, values = {}) {
  element.dataset.words = name;
  element.dataset.values = JSON.stringify(values);
  if (element.classList.contains("notice")) {
    element.hidden = !name;
  }
  element.textContent = name ? words(name, values) : "";
}

/** Says what a failed call means and what to do. */
export function complain(element, error) {
  if (!(error.words in EN)) throw error;
  say(element, error.words, { detail: error.detail || "–", logId: error.logId || "–" });
}

/** Writes every text of the page in the language in force. */
export function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-words]")) {
    const name = element.dataset.words;
    if (name) element.textContent = words(name, JSON.parse(element.dataset.values ?? "{}"));
  }
  for (const element of document.querySelectorAll("[data-placeholder]")) {
    element.placeholder = words(element.dataset.placeholder);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", words(element.dataset.label));
  }
  listeners.forEach((listener) => listener());
}

/** Seconds as 1:02 or 1:01:02. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** A duration in words that fit a table: 0.4 s, 38 s, 12 min, 3.5 h. */
export function duration(seconds) {
  const [s, min, h, d] = language === "zh" ? [" 秒", " 分钟", " 小时", " 天"] : [" s", " min", " h", " d"];
  if (seconds < 10) return `${round(seconds)}${s}`;
  if (seconds < 100) return `${Math.round(seconds)}${s}`;
  if (seconds < 6000) return `${Math.round(seconds / 60)}${min}`;
  if (seconds < 172800) return `${round(seconds / 3600)}${h}`;
  return `${Math.round(seconds / 86400)}${d}`;
}

/** Seconds as milliseconds below one second, else with one digit. */
export function latency(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${round(seconds)} s`;
}

const round = (value) => String(Math.round(value * 10) / 10);

function stored() {
  try {
    const name = localStorage.getItem(STORED);
    return name === "en" || name === "zh" ? name : null;
  } catch {
    return null;
  }
}

/** What an answer is made of, in one language. `{quote}` stands for a few words of the caller's. */
export interface Phrases {
  /** Openings after a message with text in it. */
  readonly quoting: readonly string[];
  /** The opening after a message without text, such as a picture. */
  readonly silent: string;
  /** The opening after a tool's result. */
  readonly tool: string;
  /** That nobody takes the answer for a model's: it is always the second sentence. */
  readonly confession: string;
  /** Some of these follow, in this order. */
  readonly body: readonly string[];
  /** What stands between two sentences. */
  readonly gap: '' | ' ';
}

/** The simulator's languages by their codes (ISO 639-1). */
export const phrases = {
  ar: {
    quoting: ['تقول رسالتك: «{quote}».', 'وصلتني رسالتك: «{quote}».'],
    silent: 'وصلتني رسالتك.',
    tool: 'أعادت الأداة النتيجة الآتية: «{quote}».',
    confession: 'هذا ردٌّ من محاكي ميزان، فلم يُستدعَ أيُّ نموذج ولم تترتّب عليه أيُّ تكلفة.',
    body: [
      'وكلُّ ما عدا ذلك حقيقي: التوجيه والحدود وسجلُّ الطلبات وعدُّ الرموز.',
      'والطلب نفسه يلقى الردَّ نفسه دائمًا، فتسهل مقارنة تجربة بأخرى.',
      'وعند إضافة مفتاح أحد المزوِّدين سيجيب نموذج حقيقي بدلًا مني.',
      'ويمكن هنا التدرُّب على انتهاء المهلة وإعادة المحاولة والأعطال بلا أيِّ تكلفة.',
    ],
    gap: ' ',
  },
  fa: {
    quoting: ['نوشته‌اید: «{quote}».', 'پیام شما رسید: «{quote}».'],
    silent: 'پیام شما رسید.',
    tool: 'ابزار این نتیجه را برگرداند: «{quote}».',
    confession: 'این پاسخ از شبیه‌ساز میزان می‌آید؛ هیچ مدلی فراخوانی نشده و هزینه‌ای هم در کار نیست.',
    body: [
      'باقی چیزها واقعی‌اند: مسیریابی، محدودیت‌ها، گزارش درخواست‌ها و شمارش توکن‌ها.',
      'درخواست یکسان همیشه پاسخ یکسان می‌گیرد، پس مقایسهٔ آزمایش‌ها آسان است.',
      'به‌محض آن‌که یک کلید API اضافه کنید، مدلی واقعی به‌جای من پاسخ می‌دهد.',
      'این‌جا می‌توانید پایان مهلت، تلاش دوباره و خرابی‌ها را بدون هزینه تمرین کنید.',
    ],
    gap: ' ',
  },
  ur: {
    quoting: ['آپ نے لکھا: ”{quote}“۔', 'آپ کا پیغام موصول ہوا: ”{quote}“۔'],
    silent: 'آپ کا پیغام موصول ہوا۔',
    tool: 'ٹول نے یہ نتیجہ دیا: ”{quote}“۔',
    confession: 'یہ جواب میزان کے سمیولیٹر کا ہے؛ نہ کوئی ماڈل استعمال ہوا اور نہ کوئی خرچ آیا۔',
    body: [
      'باقی سب کچھ حقیقی ہے: روٹنگ، حدود، درخواستوں کا ریکارڈ اور ٹوکن کی گنتی۔',
      'ایک جیسی درخواست پر ہمیشہ ایک جیسا جواب ملتا ہے، اس لیے نتائج کا موازنہ آسان ہے۔',
      'جیسے ہی آپ API کلید شامل کریں گے، میری جگہ ایک حقیقی ماڈل جواب دے گا۔',
      'یہاں آپ ٹائم آؤٹ، دوبارہ کوشش اور خرابیوں کی مشق بغیر کسی خرچ کے کر سکتے ہیں۔',
    ],
    gap: ' ',
  },
  he: {
    quoting: ['כתבת: ״{quote}״.', 'ההודעה שלך התקבלה: ״{quote}״.'],
    silent: 'ההודעה שלך התקבלה.',
    tool: 'הכלי החזיר: ״{quote}״.',
    confession: 'התשובה הזאת מגיעה מהסימולטור של Mizan: לא הופעל שום מודל ולא נגבה תשלום.',
    body: [
      'כל השאר אמיתי: הניתוב, המגבלות, יומן הבקשות וספירת הטוקנים.',
      'אותה בקשה מקבלת תמיד אותה תשובה, ולכן קל להשוות בין הרצות.',
      'ברגע שיתווסף מפתח API, מודל אמיתי יענה במקומי.',
      'אפשר לתרגל כאן פסקי זמן, ניסיונות חוזרים ותקלות בלי שום עלות.',
    ],
    gap: ' ',
  },
  ru: {
    quoting: ['Вы написали: «{quote}».', 'Ваше сообщение получено: «{quote}».'],
    silent: 'Ваше сообщение получено.',
    tool: 'Инструмент вернул: «{quote}».',
    confession: 'Это ответ симулятора Mizan: модель не вызывалась, и платить ни за что не нужно.',
    body: [
      'Всё остальное настоящее: маршрутизация, лимиты, журнал запросов и подсчёт токенов.',
      'На один и тот же запрос всегда приходит один и тот же ответ, поэтому прогоны легко сравнивать.',
      'Как только вы добавите ключ API, вместо меня ответит настоящая модель.',
      'Здесь можно бесплатно отрепетировать тайм-ауты, повторные попытки и сбои.',
    ],
    gap: ' ',
  },
  el: {
    quoting: ['Γράψατε: «{quote}».', 'Έλαβα το μήνυμά σας: «{quote}».'],
    silent: 'Έλαβα το μήνυμά σας.',
    tool: 'Το εργαλείο απάντησε: «{quote}».',
    confession:
      'Αυτή η απάντηση προέρχεται από τον προσομοιωτή του Mizan: δεν κλήθηκε κανένα μοντέλο και δεν χρεώθηκε τίποτα.',
    body: [
      'Όλα τα υπόλοιπα είναι πραγματικά: η δρομολόγηση, τα όρια, το αρχείο αιτημάτων και η μέτρηση των tokens.',
      'Το ίδιο αίτημα παίρνει πάντα την ίδια απάντηση, οπότε οι δοκιμές συγκρίνονται εύκολα.',
      'Μόλις προσθέσετε ένα κλειδί API, στη θέση μου θα απαντά ένα πραγματικό μοντέλο.',
      'Εδώ μπορείτε να δοκιμάσετε χωρίς κόστος λήξεις χρόνου, επαναλήψεις και βλάβες.',
    ],
    gap: ' ',
  },
  hi: {
    quoting: ['आपने लिखा: “{quote}”।', 'आपका संदेश मिला: “{quote}”।'],
    silent: 'आपका संदेश मिला।',
    tool: 'टूल ने यह परिणाम दिया: “{quote}”।',
    confession: 'यह उत्तर Mizan के सिम्युलेटर से आया है; किसी मॉडल को नहीं बुलाया गया और कोई शुल्क नहीं लगा।',
    body: [
      'बाकी सब कुछ असली है: रूटिंग, सीमाएँ, अनुरोधों का लॉग और टोकनों की गिनती।',
      'एक ही अनुरोध पर हमेशा एक ही उत्तर मिलता है, इसलिए परीक्षणों की तुलना करना आसान है।',
      'जैसे ही आप API कुंजी जोड़ेंगे, मेरी जगह एक असली मॉडल उत्तर देगा।',
      'यहाँ आप टाइमआउट, पुनः प्रयास और विफलताओं का अभ्यास बिना किसी खर्च के कर सकते हैं।',
    ],
    gap: ' ',
  },
  th: {
    quoting: ['คุณเขียนว่า “{quote}”', 'ได้รับข้อความของคุณแล้ว: “{quote}”'],
    silent: 'ได้รับข้อความของคุณแล้ว',
    tool: 'เครื่องมือส่งผลลัพธ์กลับมาว่า “{quote}”',
    confession: 'คำตอบนี้มาจากตัวจำลองของ Mizan จึงไม่มีการเรียกใช้โมเดลและไม่มีค่าใช้จ่ายใด ๆ',
    body: [
      'ส่วนอื่นทั้งหมดเป็นของจริง ทั้งการกำหนดเส้นทาง ขีดจำกัด บันทึกคำขอ และจำนวนโทเคน',
      'คำขอเดียวกันจะได้คำตอบเดิมเสมอ จึงเปรียบเทียบผลการทดสอบแต่ละครั้งได้ง่าย',
      'เมื่อคุณเพิ่มคีย์ API แล้ว โมเดลจริงจะเป็นผู้ตอบแทน',
      'คุณสามารถซ้อมกรณีหมดเวลา การลองใหม่ และความขัดข้องได้ที่นี่โดยไม่มีค่าใช้จ่าย',
    ],
    gap: ' ',
  },
  ja: {
    quoting: ['「{quote}」というメッセージを受け取りました。', '「{quote}」とのことですね。'],
    silent: 'メッセージを受け取りました。',
    tool: 'ツールの結果は「{quote}」でした。',
    confession: 'これは Mizan のシミュレーターによる回答で、モデルは呼び出されておらず、料金もかかっていません。',
    body: [
      'それ以外のルーティング、制限、リクエストログ、トークン数はすべて本物です。',
      '同じリクエストには必ず同じ回答が返るので、試行どうしを簡単に比べられます。',
      'API キーを追加すると、本物のモデルが代わりに答えます。',
      'タイムアウトや再試行、障害の予行演習を無料で行えます。',
    ],
    gap: '',
  },
  ko: {
    quoting: ['보내신 메시지는 “{quote}”입니다.', '메시지를 받았습니다: “{quote}”.'],
    silent: '메시지를 받았습니다.',
    tool: '도구의 결과는 다음과 같습니다: “{quote}”.',
    confession: '이 답변은 Mizan 시뮬레이터가 만든 것으로, 모델을 호출하지 않았고 비용도 들지 않았습니다.',
    body: [
      '그 밖의 라우팅, 제한, 요청 기록, 토큰 수는 모두 실제입니다.',
      '같은 요청에는 항상 같은 답변이 돌아오므로 시험 결과를 쉽게 비교할 수 있습니다.',
      'API 키를 추가하면 실제 모델이 대신 답합니다.',
      '시간 초과, 재시도, 장애를 여기에서 비용 없이 연습할 수 있습니다.',
    ],
    gap: ' ',
  },
  zh: {
    quoting: ['您写道：“{quote}”。', '已收到您的消息：“{quote}”。'],
    silent: '已收到您的消息。',
    tool: '工具返回的结果是：“{quote}”。',
    confession: '这个回答来自 Mizan 的模拟器，没有调用任何模型，也不会产生费用。',
    body: [
      '其余部分都是真实的：路由、限额、请求日志和令牌计数。',
      '相同的请求总会得到相同的回答，方便您比较每次试验。',
      '添加 API 密钥之后，真正的模型就会代替我回答。',
      '您可以在这里免费演练超时、重试和故障。',
    ],
    gap: '',
  },
  en: {
    quoting: ['You wrote: “{quote}”.', 'Thank you for your message: “{quote}”.'],
    silent: 'Thank you for your message.',
    tool: 'The tool returned: “{quote}”.',
    confession: 'This answer comes from the Mizan simulator, so no model was called and nothing was charged.',
    body: [
      'Everything else is real: the routing, the limits, the request log and the token counts.',
      'The same request always gets the same answer, which makes it easy to compare one run with the next.',
      'As soon as you add the API key of a provider, a real model will answer in my place.',
      'You can rehearse timeouts, retries and failures here at no cost.',
    ],
    gap: ' ',
  },
  fr: {
    quoting: [
      'Vous avez écrit\u00a0: «\u00a0{quote}\u00a0».',
      'J’ai bien reçu votre message\u00a0: «\u00a0{quote}\u00a0».',
    ],
    silent: 'J’ai bien reçu votre message.',
    tool: 'L’outil a répondu\u00a0: «\u00a0{quote}\u00a0».',
    confession:
      'Cette réponse vient du simulateur de Mizan\u00a0: aucun modèle n’a été appelé et rien n’a été facturé.',
    body: [
      'Tout le reste est réel\u00a0: le routage, les limites, le journal des requêtes et le décompte des tokens.',
      'La même requête reçoit toujours la même réponse, ce qui permet de comparer deux essais.',
      'Dès que vous ajouterez une clé d’API, un vrai modèle répondra à ma place.',
      'Vous pouvez simuler ici des délais dépassés, de nouvelles tentatives et des pannes, sans aucun frais.',
    ],
    gap: ' ',
  },
  es: {
    quoting: ['Has escrito: «{quote}».', 'He recibido tu mensaje: «{quote}».'],
    silent: 'He recibido tu mensaje.',
    tool: 'La herramienta ha devuelto: «{quote}».',
    confession:
      'Esta respuesta viene del simulador de Mizan: no se ha llamado a ningún modelo y no tiene coste alguno.',
    body: [
      'Todo lo demás es real: el enrutamiento, los límites, el registro de peticiones y el recuento de tokens.',
      'La misma petición recibe siempre la misma respuesta, así que es fácil comparar una prueba con otra.',
      'En cuanto añadas una clave de API, un modelo de verdad responderá en mi lugar.',
      'Aquí puedes ensayar tiempos de espera agotados, reintentos y fallos sin gastar nada.',
    ],
    gap: ' ',
  },
  de: {
    quoting: ['Sie haben geschrieben: „{quote}“.', 'Ihre Nachricht ist angekommen: „{quote}“.'],
    silent: 'Ihre Nachricht ist angekommen.',
    tool: 'Das Werkzeug hat geantwortet: „{quote}“.',
    confession:
      'Diese Antwort kommt aus dem Simulator von Mizan; es wurde kein Modell aufgerufen und nichts berechnet.',
    body: [
      'Alles andere ist echt: die Verteilung, die Grenzwerte, das Protokoll der Anfragen und die Zahl der Token.',
      'Dieselbe Anfrage bekommt immer dieselbe Antwort, so lässt sich ein Lauf mit dem nächsten vergleichen.',
      'Sobald Sie einen API-Schlüssel eintragen, antwortet hier ein echtes Modell.',
      'Zeitüberschreitungen, Wiederholungen und Ausfälle können Sie hier kostenlos proben.',
    ],
    gap: ' ',
  },
  tr: {
    quoting: ['Şunu yazdınız: “{quote}”.', 'Mesajınızı aldım: “{quote}”.'],
    silent: 'Mesajınızı aldım.',
    tool: 'Araç şu sonucu verdi: “{quote}”.',
    confession: 'Bu yanıt Mizan simülatöründen geliyor; hiçbir model çağrılmadı ve hiçbir ücret doğmadı.',
    body: [
      'Geri kalan her şey gerçek: yönlendirme, sınırlar, istek günlüğü ve token sayıları.',
      'Aynı istek her zaman aynı yanıtı alır, böylece denemeleri kolayca karşılaştırabilirsiniz.',
      'Bir API anahtarı eklediğinizde burada gerçek bir model yanıt verecek.',
      'Zaman aşımlarını, yeniden denemeleri ve arızaları burada ücretsiz olarak prova edebilirsiniz.',
    ],
    gap: ' ',
  },
  pt: {
    quoting: ['Você escreveu: “{quote}”.', 'Recebi a sua mensagem: “{quote}”.'],
    silent: 'Recebi a sua mensagem.',
    tool: 'A ferramenta respondeu: “{quote}”.',
    confession: 'Esta resposta vem do simulador do Mizan: nenhum modelo foi chamado e nada foi cobrado.',
    body: [
      'Todo o resto é real: o roteamento, os limites, o registro de requisições e a contagem de tokens.',
      'A mesma requisição recebe sempre a mesma resposta, o que facilita comparar um teste com outro.',
      'Assim que você adicionar uma chave de API, um modelo de verdade responderá no meu lugar.',
      'Aqui você pode ensaiar tempos limite, novas tentativas e falhas sem nenhum custo.',
    ],
    gap: ' ',
  },
} as const satisfies Record<string, Phrases>;

export type Language = keyof typeof phrases;

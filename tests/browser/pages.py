"""Twenty HTML bodies as mailers, newsletters and their mistakes make them."""

WORD = """\
<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office">
<head><meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<!--[if !mso]><style>v\\:* {behavior:url(#default#VML);}</style><![endif]-->
<style><!--
p.MsoNormal, li.MsoNormal, div.MsoNormal
	{margin:0cm; font-size:11.0pt; font-family:"Calibri",sans-serif;}
a:link {color:#0563C1; text-decoration:underline;}
div.WordSection1 {page:WordSection1;}
--></style>
<!--[if gte mso 9]><xml><o:shapedefaults v:ext="edit" spidmax="1026" /></xml><![endif]--></head>
<body lang=EN-GB link="#0563C1" vlink="#954F72" style='word-wrap:break-word'><div class=WordSection1>
<p class=MsoNormal>Dear Anna,<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p>
<p class=MsoNormal>please find the offer below.<o:p></o:p></p>
<p class=MsoNormal><span style='color:#1F497D'>Kind regards,<br>Bert<o:p></o:p></span></p>
</div></body></html>
"""

PAGES = {
    "plain": "<html><head><title>x</title></head><body><p>Hello Anna,</p>"
             "<p>the meeting is at noon.</p></body></html>",
    "gmail": '<div dir="ltr">Hello Anna,<div><br></div><div>the meeting is '
             'at <b>noon</b>.</div><div><br clear="all"></div><span>-- '
             '<br></span><div dir="ltr" class="gmail_signature">Bert</div>'
             '</div>',
    "word": WORD,
    "newsletter": '<html><body bgcolor="#eeeeee" style="margin:0"><table '
                  'width="100%" cellpadding="0"><tr><td align="center"><table '
                  'width="600" bgcolor="#ffffff"><tr><td style="padding:20px">'
                  '<h1>News</h1><p>All about it.</p><img width="100" '
                  'height="40" alt="logo"></td></tr></table></td></tr></table>'
                  '</body></html>',
    "open_table": '<html><body><table border="1"><tr><td>one<td>two<tr><td>'
                  'three</body></html>',
    "open_tags": '<body><div style="color:#aa0000"><b><font size="5">Loud and '
                 'never closed',
    "open_link": '<p>See <a href="https://example.com/" style="font-size:30px">'
                 'this page',
    "open_list": "<ul><li>one<li>two<ol><li>inner",
    "behind": "<html><body><p>Before the end</p></body></html><p>and behind "
              "it</p>",
    "comment": "<html><body><p>Text</p><!-- </body></html> --><p>More</p>"
               "</body></html>",
    "textarea": "<body><form><textarea rows=3>a </body> in here</textarea>"
                "</form><p>End</p></body>",
    "two_bodies": "<html><body><p>One</p></body></html><html><body "
                  "style='color:blue'><p>Two</p></body></html>",
    "dark": '<html><body style="background:#111111;color:#eeeeee"><p>White on '
            'black</p></body></html>',
    "rtl": '<html dir="rtl"><body><p>\u05e9\u05dc\u05d5\u05dd '
           '\u05e2\u05d5\u05dc\u05dd</p></body></html>',
    "styled": "<html><head><style>div {border:1px solid green; margin:9px} "
              "p {color:purple; font-size:20px}</style></head><body><div><p>"
              "All is styled</p></div></body></html>",
    "center": "<center><font face=Arial size=2>Middle<br>of it</font>"
              "</center>",
    "pre": "<html><body><pre>  a\n  b  &lt;c&gt;\n</pre></body></html>",
    "float": '<body><div style="float:left;width:40%">left</div><div '
             'style="float:right;width:40%">right<br>two<br>three</div></body>',
    "upper": "<HTML><BODY TEXT=#003300><P ALIGN=right>UPPER CASE</P><HR>"
             "</BODY></HTML>",
    "thread": '<div dir="ltr">Yes, noon.</div><br><div class="gmail_quote">'
              '<div dir="ltr" class="gmail_attr">On Tue, 24 Nov 2026 at 10:00, '
              'Anna &lt;<a href="mailto:anna@example.org">anna@example.org'
              '</a>&gt; wrote:<br></div><blockquote class="gmail_quote" '
              'style="margin:0px 0px 0px 0.8ex;border-left:1px solid '
              'rgb(204,204,204);padding-left:1ex"><div>Noon?</div>'
              '</blockquote></div>',
}

# What the gate's own pages say, in English.
#
# A file of the same name in `messages/` of the folder named by `[pages] templates` replaces single
# messages; a file for another language adds that language. Plain text only: markup is shown as typed.

language-name = English
language-switch = Language
page-title = { $title } · { $site }
page-title-error = Error: { $page }
this-site = this site

## Fields and what stands beside them

field-username = User name
field-password = Password
field-new-password = New password
field-password-again = New password, once more
remember-me = Keep me signed in on this device
remember-hint = Leave this off on a device that others use.
show-password = Show password
hide-password = Hide password
caps-lock = Caps Lock is on.

## Signing in

sign-in-title = Sign in
sign-in-button = Sign in
sign-in-forgot = Forgot your password?
sign-in-session-ended = Your session has ended. Sign in again to go on where you were.
sign-in-form-kept = Your session has ended. The form you sent is kept for an hour: sign in again as the same user, in this browser, and you can send it on.
sign-in-form-lost = You have to sign in before this form can be sent, and it could not be kept. Sign in in another window, then go back to the form in this one and send it again.
sign-in-not-kept = Your password is right, but we cannot sign you in right now: the trouble is on our side, and it has been recorded. Please try again in a few minutes.
sign-in-missing = Please fill in both your user name and your password.
sign-in-wrong = The user name or the password is not right. Please check both and try again.
sign-in-unreachable = The site is not answering at the moment, so your password could not be checked. Please try again in a few minutes.
sign-in-not-confirmed = The site gave an unexpected answer, so you are not signed in. Please try again. If it keeps happening, tell the people who run the site.

## Signing out

sign-out-title = Sign out
sign-out-text = Do you want to sign out of { $site }?
sign-out-button = Sign out
sign-out-stay = Stay signed in
signed-out-title = You are signed out
signed-out-text = If other people use this device, please close the browser window as well.
sign-in-again = Sign in again

## Forgotten password

forgot-title = Forgotten password
forgot-text = Enter your user name. If an account has that name, a link for choosing a new password goes to its e-mail address.
forgot-button = Send me the link
forgot-missing = Please enter your user name.
forgot-no-account = No account with that user name and a working e-mail address was found. Please check the spelling.
forgot-not-supported = The password of this account cannot be reset by e-mail. Please ask the people who run the site.
forgot-failed = The site is not answering at the moment, so no message was sent. Please try again in a few minutes.
forgot-not-confirmed = We could not confirm that a message was sent. Please look at your mail in a few minutes, and try again if nothing has come.
forgot-sent-title = Look at your mail
forgot-sent-if = If an account has that name, a message with a link is on its way to its e-mail address.
forgot-sent-sure = A message with a link is on its way to your e-mail address.
forgot-sent-hint = It may take a few minutes. If nothing comes, look in the folder for unwanted mail, then check the user name and ask again.
back-to-sign-in = Back to sign in

## Choosing a new password

reset-title = Choose a new password
reset-text = Confirm your user name, then type the new password twice.
reset-username-hint = The name of the account the link was sent for.
reset-button = Set the new password
reset-missing = Please fill in all three fields.
reset-mismatch = The two passwords are not the same. Please type them again.
reset-too-short =
    { $minimum ->
        [one] The new password needs at least one character.
       *[other] The new password needs at least { $minimum } characters.
    }
reset-too-long =
    { $maximum ->
        [one] The new password may have one character at most.
       *[other] The new password may have { $maximum } characters at most.
    }
reset-blank = The new password is nothing but spaces. Please choose another one.
reset-common = The new password is one of those that are guessed first. Please choose another one; three or four words that have nothing to do with each other are good.
reset-like-name = The new password is too much like the user name. Please choose another one.
reset-rejected = The site did not accept the new password. This is its reason:
reset-rejected-why-unsaid = The site did not accept the new password. Please choose another one.
reset-unreachable = The site is not answering at the moment, so your password was not changed. Please try again in a few minutes; the link stays good.
reset-done-title = Your new password is set
reset-done-text = You can sign in with it now. Anyone who was signed in to your account, on any device, has been signed out.
reset-invalid-title = This link does not work
reset-invalid-text = It has been used already, is not complete, or belongs to another user name. If you asked more than once, use the link in the newest message.
reset-expired-title = This link has expired
reset-expired-text = For safety, a link works for a limited time only. Please ask for a new one.
reset-used-title = This link has been used
reset-used-text = A new password was set with it, and a link works only once. If that was not you, ask for a new link at once.
reset-replaced-title = This link is no longer good
reset-replaced-text = A newer one was asked for, or the account has changed since. Use the link in the newest message, or ask for another.
reset-elsewhere-title = This link was opened in another browser
reset-elsewhere-text = It works only in the browser that opened it first. Go on there, or ask for a new link.
reset-no-link-title = Please open the link again
reset-no-link-text = This page needs the link from your mail, and forgets it after a while. Open the link once more, in this browser.
reset-not-confirmed-title = We could not confirm the change
reset-not-confirmed-text = The site gave an unexpected answer. Try to sign in with the new password; if that does not work, ask for a new link.
new-link = Ask for a new link

## Your account

account-title = Your account
account-signed-in-as = Signed in as
account-sessions = Where you are signed in
account-this-browser = this browser
account-end-others = Sign out everywhere else
account-session-times = Signed in { $age } ago, last used { $idle } ago
back-to-site = Back to the site

change-title = Change your password
change-button = Change the password
change-missing = Please fill in all three fields.
change-wrong-current = The current password is not right. Please type it again.
change-done = Your new password is set. Everywhere else you have been signed out.
change-not-supported = The site does not let you change your password here. Please ask whoever looks after it.
change-not-confirmed = The site gave no clear answer, so your password may or may not have been changed. Sign in again to see which one is good now.
change-failed = Your password could not be changed, and is what it was. Please try again in a few minutes.
field-current-password = Current password

## Mails of the gate

mail-greeting = Hello { $user },
mail-requester = This came about at the address { $address }.
mail-reset-link-subject = A new password for { $site }
mail-reset-link-text = Somebody, most likely you, has asked for a new password for your account at { $site }. Follow this link to choose one:
mail-reset-link-button = Choose a new password
mail-reset-link-copy = If the button does not work, copy this address into your browser:
mail-reset-link-expiry = The link works once, within { $expiry }.
mail-reset-link-ignore = If it was not you, you need do nothing: your password stays as it is.
mail-password-reset-subject = Your password for { $site } was reset
mail-password-reset-text = A new password was set for your account at { $site } with a link from our mail. Whoever was signed in to it, on any device, has been signed out.
mail-password-changed-subject = Your password for { $site } was changed
mail-password-changed-text = The password of your account at { $site } was changed by somebody who was signed in and knew the old one. On all other devices your account has been signed out.
mail-not-you = If it was not you, ask for a new password at once and tell the people who run the site:

## Forms sent after the session had ended

held-title = Send your form?
held-text = Your session had ended when you sent a form. It was kept, and nothing has been done with it yet.
held-to = You were sending it to
held-age = { $age } ago
held-unclear = It may have been sent already: the site gave no clear answer. Look there whether it has arrived before you send it again.
held-send = Send it now
held-discard = Discard it
held-gone-title = There is no form to send
held-gone-text = It was sent or discarded already, or its hour was over. Look at the site whether it has arrived.
held-busy-title = The form is being sent
held-busy-text = It is on its way already, perhaps because the button was pressed twice. Look at the site in a moment whether it has arrived.
held-look = Look again

## For every form

limited = There have been too many attempts. To protect the accounts here, please wait and try again { $wait }.
form-expired = This form was no longer valid, so nothing was sent. Please send it again. If that does not help, check that your browser accepts cookies.
in-span = in { $span }
span-minutes =
    { $count ->
        [one] one minute
       *[other] { $count } minutes
    }
span-hours =
    { $count ->
        [one] one hour
       *[other] { $count } hours
    }
span-days =
    { $count ->
        [one] one day
       *[other] { $count } days
    }

## When something goes wrong

error-request-id = If you ask for help, please give this number:
error-status = Error { $status }
error-retry = Try again
error-bad-request-title = This request cannot be understood
error-bad-request-text = The address or the request your browser sent is not well formed. Check the address, or go back and follow the link again.
error-forbidden-title = This page is not open to you
error-forbidden-text = The rules of this site do not allow it. If you need this page, please ask the people who run the site.
error-forbidden-network-title = This page is not open from here
error-forbidden-network-text = It can be opened from certain networks only, and yours is not one of them. Please ask the people who run the site.
error-cross-site-title = This form came from somewhere else
error-cross-site-text = It was sent by another web site, so nothing was done. If you meant to do this, open the page here and send it again.
error-not-found-title = There is no such page
error-not-found-text = The address leads nowhere. Check it for mistakes, or start again from the front page.
error-method-title = This cannot be done here
error-method-text = The page exists, but not for this kind of request. Go back and follow the link again.
error-timeout-title = That took too long
error-timeout-text = Your request did not arrive completely in the time allowed. Check your connection and try again.
error-content-too-large-title = That is too large
error-content-too-large-text = What you sent is larger than this site accepts, so nothing was stored. Try with a smaller file.
error-uri-too-long-title = This address is too long
error-uri-too-long-text = Your browser asked for an address longer than this site accepts. Go back and try another way.
error-misdirected-title = This address is not served here
error-misdirected-text = Your request arrived here, but no site of that name lives here. Check the host name in the address.
error-too-many-title = Too many requests
error-too-many-text = A great many requests have come from your network. Please wait and try again { $wait }.
error-headers-too-large-title = Your browser sent too much
error-headers-too-large-text = The request has more headers or cookies than this site accepts. Deleting the cookies of this site usually helps.
error-internal-title = Something went wrong on our side
error-internal-text = It is not your doing, and it has been recorded. Please try again in a moment.
error-not-implemented-title = This is not supported
error-not-implemented-text = Your browser asked for something that this site does not do. Go back and try another way.
error-bad-gateway-title = The site is not answering
error-bad-gateway-text = You have reached the gate in front of it, but the site behind could not be reached or broke off. Please try again in a few minutes.
error-unavailable-title = Not available just now
error-unavailable-text = The site is busy or being worked on. Please try again { $wait }.
error-maintenance-title = The site is closed for the moment
error-maintenance-text = You have reached the gate in front of it, but the site behind is not running, perhaps because it is being worked on. Nothing of what you sent was used. Please try again { $wait }.
error-gateway-timeout-title = The site is taking too long
error-gateway-timeout-text = You have reached the gate in front of it, but the site behind did not answer in time. If you had sent a form, check whether it took effect before you send it again.

# What the gate's own pages say, in French. Ids and variables are those of en.ftl.
#
# Typography: a narrow no-break space (U+202F) before ? ! ; and a no-break space (U+00A0) before a
# colon; the apostrophe is ’.

language-name = Français
language-switch = Langue
page-title = { $title } · { $site }
page-title-error = Erreur : { $page }
this-site = ce site

## Champs et ce qui les accompagne

field-username = Nom d’utilisateur
field-password = Mot de passe
field-new-password = Nouveau mot de passe
field-password-again = Nouveau mot de passe, encore une fois
remember-me = Rester connecté sur cet appareil
remember-hint = Ne cochez pas cette case sur un appareil partagé.
show-password = Afficher le mot de passe
hide-password = Masquer le mot de passe
caps-lock = Le verrouillage des majuscules est activé.

## Connexion

sign-in-title = Connexion
sign-in-button = Se connecter
sign-in-forgot = Mot de passe oublié ?
sign-in-session-ended = Votre session est terminée. Reconnectez-vous pour reprendre là où vous en étiez.
sign-in-form-kept = Votre session est terminée. Le formulaire que vous avez envoyé est conservé pendant une heure ; reconnectez-vous sous le même nom, dans ce navigateur, pour pouvoir l’envoyer.
sign-in-form-lost = Il faut se connecter avant d’envoyer ce formulaire, et il n’a pas pu être conservé. Connectez-vous dans une autre fenêtre, puis revenez au formulaire dans celle-ci et envoyez-le de nouveau.
sign-in-not-kept = Votre mot de passe est correct, mais nous ne pouvons pas vous connecter pour le moment ; le problème vient de chez nous et il a été enregistré. Veuillez réessayer dans quelques minutes.
sign-in-missing = Veuillez saisir votre nom d’utilisateur et votre mot de passe.
sign-in-wrong = Le nom d’utilisateur ou le mot de passe n’est pas correct. Veuillez vérifier les deux et réessayer.
sign-in-unreachable = Le site ne répond pas pour le moment ; votre mot de passe n’a donc pas pu être vérifié. Veuillez réessayer dans quelques minutes.
sign-in-not-confirmed = Le site a donné une réponse inattendue ; vous n’êtes donc pas connecté. Veuillez réessayer. Si cela se reproduit, prévenez les responsables du site.

## Déconnexion

sign-out-title = Déconnexion
sign-out-text = Voulez-vous vous déconnecter de { $site } ?
sign-out-button = Se déconnecter
sign-out-stay = Rester connecté
signed-out-title = Vous êtes déconnecté
signed-out-text = Si d’autres personnes utilisent cet appareil, fermez aussi la fenêtre du navigateur.
sign-in-again = Se reconnecter

## Mot de passe oublié

forgot-title = Mot de passe oublié
forgot-text = Saisissez votre nom d’utilisateur. Si un compte porte ce nom, un lien pour choisir un nouveau mot de passe sera envoyé à son adresse électronique.
forgot-button = M’envoyer le lien
forgot-missing = Veuillez saisir votre nom d’utilisateur.
forgot-no-account = Aucun compte portant ce nom et disposant d’une adresse électronique valide n’a été trouvé. Veuillez vérifier l’orthographe.
forgot-not-supported = Le mot de passe de ce compte ne peut pas être réinitialisé par courriel. Veuillez vous adresser aux responsables du site.
forgot-failed = Le site ne répond pas pour le moment ; aucun message n’a été envoyé. Veuillez réessayer dans quelques minutes.
forgot-not-confirmed = Nous n’avons pas pu confirmer l’envoi d’un message. Consultez votre messagerie dans quelques minutes et réessayez si rien n’est arrivé.
forgot-sent-title = Consultez votre messagerie
forgot-sent-if = Si un compte porte ce nom, un message contenant un lien est en route vers son adresse électronique.
forgot-sent-sure = Un message contenant un lien est en route vers votre adresse électronique.
forgot-sent-hint = Cela peut prendre quelques minutes. Si rien n’arrive, regardez dans le dossier des courriers indésirables, puis vérifiez le nom d’utilisateur et refaites la demande.
back-to-sign-in = Retour à la connexion

## Choix d’un nouveau mot de passe

reset-title = Choisir un nouveau mot de passe
reset-text = Confirmez votre nom d’utilisateur, puis saisissez deux fois le nouveau mot de passe.
reset-username-hint = Le nom du compte pour lequel le lien a été envoyé.
reset-button = Enregistrer le nouveau mot de passe
reset-missing = Veuillez remplir les trois champs.
reset-mismatch = Les deux mots de passe ne sont pas identiques. Veuillez les saisir à nouveau.
reset-too-short =
    { $minimum ->
        [one] Le nouveau mot de passe doit comporter au moins un caractère.
       *[other] Le nouveau mot de passe doit comporter au moins { $minimum } caractères.
    }
reset-too-long =
    { $maximum ->
        [one] Le nouveau mot de passe peut avoir un caractère au plus.
       *[other] Le nouveau mot de passe peut avoir { $maximum } caractères au plus.
    }
reset-blank = Le nouveau mot de passe ne contient que des espaces. Veuillez en choisir un autre.
reset-common = Le nouveau mot de passe est de ceux que l’on devine en premier. Veuillez en choisir un autre ; trois ou quatre mots sans rapport entre eux conviennent bien.
reset-like-name = Le nouveau mot de passe ressemble trop au nom d’utilisateur. Veuillez en choisir un autre.
reset-rejected = Le site n’a pas accepté le nouveau mot de passe. Voici la raison qu’il donne :
reset-rejected-why-unsaid = Le site n’a pas accepté le nouveau mot de passe. Veuillez en choisir un autre.
reset-unreachable = Le site ne répond pas pour le moment ; votre mot de passe n’a pas été modifié. Veuillez réessayer dans quelques minutes, le lien reste valable.
reset-done-title = Votre nouveau mot de passe est enregistré
reset-done-text = Vous pouvez maintenant l’utiliser pour vous connecter. Toutes les sessions ouvertes sur votre compte, sur tous les appareils, ont été fermées.
reset-invalid-title = Ce lien ne fonctionne pas
reset-invalid-text = Il a déjà servi, il est incomplet, ou il correspond à un autre nom d’utilisateur. Si vous avez fait plusieurs demandes, utilisez le lien du message le plus récent.
reset-expired-title = Ce lien a expiré
reset-expired-text = Par sécurité, un lien n’est valable que pendant un temps limité. Veuillez en demander un nouveau.
reset-used-title = Ce lien a déjà servi
reset-used-text = Il a permis de définir un nouveau mot de passe, et un lien ne sert qu’une fois. Si ce n’était pas vous, demandez tout de suite un nouveau lien.
reset-replaced-title = Ce lien n’est plus valable
reset-replaced-text = Un lien plus récent a été demandé, ou le compte a changé depuis. Utilisez le lien du message le plus récent, ou demandez-en un autre.
reset-elsewhere-title = Ce lien a été ouvert dans un autre navigateur
reset-elsewhere-text = Il ne fonctionne que dans le navigateur qui l’a ouvert en premier. Continuez dans celui-ci, ou demandez un nouveau lien.
reset-no-link-title = Veuillez rouvrir le lien
reset-no-link-text = Cette page a besoin du lien reçu par courriel et l’oublie au bout d’un moment. Ouvrez-le encore une fois dans ce navigateur.
reset-not-confirmed-title = La modification n’a pas pu être confirmée
reset-not-confirmed-text = Le site a donné une réponse inattendue. Essayez de vous connecter avec le nouveau mot de passe ; si cela ne marche pas, demandez un nouveau lien.
new-link = Demander un nouveau lien

## Votre compte

account-title = Votre compte
account-signed-in-as = Connecté en tant que
account-sessions = Vos sessions ouvertes
account-this-browser = ce navigateur
account-end-others = Me déconnecter partout ailleurs
account-session-times = Ouverte il y a { $age }, dernière activité il y a { $idle }
back-to-site = Retour au site

change-title = Changer de mot de passe
change-button = Changer le mot de passe
change-missing = Veuillez remplir les trois champs.
change-wrong-current = Le mot de passe actuel n’est pas le bon. Veuillez le saisir à nouveau.
change-done = Votre nouveau mot de passe est enregistré. Partout ailleurs, vous avez été déconnecté.
change-not-supported = Le site ne vous permet pas de changer ici votre mot de passe. Adressez-vous aux personnes qui s’en occupent.
change-not-confirmed = La réponse du site n’est pas claire : votre mot de passe a peut-être été changé, peut-être pas. Reconnectez-vous pour voir lequel est le bon.
change-failed = Votre mot de passe n’a pas pu être changé et reste ce qu’il était. Veuillez réessayer dans quelques minutes.
field-current-password = Mot de passe actuel

## Messages envoyés par le portail

mail-greeting = Bonjour { $user },
mail-requester = Cette opération a été faite depuis l’adresse { $address }.
mail-reset-link-subject = Un nouveau mot de passe pour { $site }
mail-reset-link-text = Quelqu’un, sans doute vous, a demandé un nouveau mot de passe pour votre compte sur { $site }. Suivez ce lien pour en choisir un :
mail-reset-link-button = Choisir un nouveau mot de passe
mail-reset-link-copy = Si le bouton ne fonctionne pas, copiez cette adresse dans votre navigateur :
mail-reset-link-expiry = Le lien ne sert qu’une fois, dans un délai de { $expiry }.
mail-reset-link-ignore = Si ce n’était pas vous, vous n’avez rien à faire : votre mot de passe reste le même.
mail-password-reset-subject = Votre mot de passe pour { $site } a été réinitialisé
mail-password-reset-text = Un nouveau mot de passe a été défini pour votre compte sur { $site }, avec un lien reçu par message. Toutes les sessions ouvertes, sur tous les appareils, ont été fermées.
mail-password-changed-subject = Votre mot de passe pour { $site } a été changé
mail-password-changed-text = Le mot de passe de votre compte sur { $site } a été changé par une personne connectée qui connaissait l’ancien. Sur tous les autres appareils, les sessions ont été fermées.
mail-not-you = Si ce n’était pas vous, demandez tout de suite un nouveau mot de passe et prévenez les responsables du site :

## Formulaires envoyés après la fin de la session

held-title = Envoyer votre formulaire ?
held-text = Votre session était terminée quand vous avez envoyé un formulaire. Il a été conservé, et rien n’en a encore été fait.
held-to = Vous l’envoyiez à
held-age = Il y a { $age }
held-unclear = Il a peut-être déjà été envoyé ; le site n’a pas répondu clairement. Vérifiez sur le site s’il est arrivé avant de l’envoyer de nouveau.
held-send = L’envoyer maintenant
held-discard = L’abandonner
held-gone-title = Aucun formulaire à envoyer
held-gone-text = Il a déjà été envoyé ou abandonné, ou son heure est passée. Vérifiez sur le site s’il est arrivé.
held-busy-title = Le formulaire est en cours d’envoi
held-busy-text = Il est déjà parti, peut-être parce que le bouton a été pressé deux fois. Vérifiez dans un instant sur le site s’il est arrivé.
held-look = Regarder encore

## Pour tous les formulaires

limited = Il y a eu trop de tentatives. Pour protéger les comptes de ce site, veuillez patienter et réessayer { $wait }.
form-expired = Ce formulaire n’était plus valable ; rien n’a été envoyé. Veuillez l’envoyer à nouveau. Si cela ne suffit pas, vérifiez que votre navigateur accepte les cookies.
in-span = dans { $span }
span-minutes =
    { $count ->
        [one] une minute
       *[other] { $count } minutes
    }
span-hours =
    { $count ->
        [one] une heure
       *[other] { $count } heures
    }
span-days =
    { $count ->
        [one] un jour
       *[other] { $count } jours
    }

## Quand quelque chose ne va pas

error-request-id = Si vous demandez de l’aide, donnez ce numéro :
error-status = Erreur { $status }
error-retry = Réessayer
error-bad-request-title = Cette requête est incompréhensible
error-bad-request-text = L’adresse ou la requête envoyée par votre navigateur est mal formée. Vérifiez l’adresse, ou revenez en arrière et suivez de nouveau le lien.
error-forbidden-title = Cette page ne vous est pas ouverte
error-forbidden-text = Les règles de ce site ne le permettent pas. Si vous avez besoin de cette page, adressez-vous aux responsables du site.
error-forbidden-network-title = Cette page n’est pas accessible d’ici
error-forbidden-network-text = Elle n’est ouverte qu’à certains réseaux, et le vôtre n’en fait pas partie. Veuillez vous adresser aux responsables du site.
error-cross-site-title = Ce formulaire vient d’ailleurs
error-cross-site-text = Il a été envoyé par un autre site web ; rien n’a donc été fait. Si c’était bien votre intention, ouvrez la page ici et envoyez-la à nouveau.
error-not-found-title = Cette page n’existe pas
error-not-found-text = L’adresse ne mène nulle part. Vérifiez-la, ou repartez de la page d’accueil.
error-method-title = Cela n’est pas possible ici
error-method-text = La page existe, mais pas pour ce genre de requête. Revenez en arrière et suivez de nouveau le lien.
error-timeout-title = Cela a pris trop de temps
error-timeout-text = Votre requête n’est pas arrivée en entier dans le délai prévu. Vérifiez votre connexion et réessayez.
error-content-too-large-title = C’est trop volumineux
error-content-too-large-text = Ce que vous avez envoyé dépasse la taille acceptée par ce site ; rien n’a été enregistré. Essayez avec un fichier plus petit.
error-uri-too-long-title = Cette adresse est trop longue
error-uri-too-long-text = Votre navigateur a demandé une adresse plus longue que ce site ne l’accepte. Revenez en arrière et essayez un autre chemin.
error-misdirected-title = Cette adresse n’est pas desservie ici
error-misdirected-text = Votre requête est arrivée ici, mais aucun site de ce nom ne s’y trouve. Vérifiez le nom d’hôte dans l’adresse.
error-too-many-title = Trop de requêtes
error-too-many-text = Un très grand nombre de requêtes est venu de votre réseau. Veuillez patienter et réessayer { $wait }.
error-headers-too-large-title = Votre navigateur a envoyé trop de données
error-headers-too-large-text = La requête comporte plus d’en-têtes ou de cookies que ce site n’en accepte. Supprimer les cookies de ce site suffit en général.
error-internal-title = Une erreur s’est produite de notre côté
error-internal-text = Vous n’y êtes pour rien, et l’incident a été enregistré. Veuillez réessayer dans un instant.
error-not-implemented-title = Ceci n’est pas pris en charge
error-not-implemented-text = Votre navigateur a demandé quelque chose que ce site ne fait pas. Revenez en arrière et essayez un autre chemin.
error-bad-gateway-title = Le site ne répond pas
error-bad-gateway-text = Vous avez atteint le portail qui le précède, mais le site lui-même est injoignable ou a interrompu sa réponse. Veuillez réessayer dans quelques minutes.
error-unavailable-title = Momentanément indisponible
error-unavailable-text = Le site est surchargé ou en maintenance. Veuillez réessayer { $wait }.
error-maintenance-title = Le site est fermé pour le moment
error-maintenance-text = Vous avez atteint le portail qui le précède, mais le site lui-même ne fonctionne pas, peut-être en raison d’une maintenance. Rien de ce que vous avez envoyé n’a été pris en compte. Veuillez réessayer { $wait }.
error-gateway-timeout-title = Le site met trop de temps à répondre
error-gateway-timeout-text = Vous avez atteint le portail qui le précède, mais le site lui-même n’a pas répondu à temps. Si vous aviez envoyé un formulaire, vérifiez s’il a été pris en compte avant de l’envoyer à nouveau.

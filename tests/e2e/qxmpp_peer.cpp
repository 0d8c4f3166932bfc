// A recipient and a sender: QXmpp's transfer manager (SI over SOCKS5 bytestreams, with --ibb in-band too), for the same
// tests as slixmpp_peer.py.
//   qxmpp_peer JID PASSWORD HOST PORT [--ibb] [--proxy JID] [--only-proxy]
// --proxy: as a sender it offers that one, too; --only-proxy: and not its own streamhost.
// Tells what happens as one JSON object a line: ready, offer, file, broken, sent, unsent. Ends when its standard input
// does; a line there is a command: "send JID METHOD FILE", METHOD: si-s5b, si-ibb or si, which is both.
#include <QCommandLineParser>
#include <QCoreApplication>
#include <QCryptographicHash>
#include <QHostAddress>
#include <QIODevice>
#include <QJsonDocument>
#include <QJsonObject>
#include <QSocketNotifier>
#include <cstdio>
#include <unistd.h>
#include <qxmpp/QXmppClient.h>
#include <qxmpp/QXmppConfiguration.h>
#include <qxmpp/QXmppLogger.h>
#include <qxmpp/QXmppStun.h>
#include <qxmpp/QXmppTransferManager.h>
#include <qxmpp/QXmppUtils.h>

static void tell(const char *event, QJsonObject facts)
{
    facts["event"] = event;
    puts(QJsonDocument(facts).toJson(QJsonDocument::Compact).constData());
    fflush(stdout);
}

// Hashes what comes and keeps nothing.
class Digest : public QIODevice
{
public:
    Digest() : hash(QCryptographicHash::Sha256) { open(QIODevice::WriteOnly); }
    QCryptographicHash hash;
    qint64 count = 0;

protected:
    qint64 readData(char *, qint64) override { return -1; }
    qint64 writeData(const char *data, qint64 length) override
    {
        hash.addData(data, int(length));
        count += length;
        return length;
    }
};

static void accept(QXmppTransferJob *job)
{
    auto *digest = new Digest;
    tell("offer", {{"sid", job->sid()}, {"name", job->fileName()}, {"size", job->fileSize()}, {"sender", job->jid()}});
    QObject::connect(job, &QXmppTransferJob::finished, [job, digest] {
        tell(job->error() == QXmppTransferJob::NoError ? "file" : "broken",
             {{"sid", job->sid()},
              {"name", job->fileName()},
              {"size", digest->count},
              {"error", int(job->error())},
              {"sha256", QString::fromLatin1(digest->hash.result().toHex())}});
        job->deleteLater();
        delete digest;
    });
    job->accept(digest);
}

// Takes the place of the library's own: it offers every address of the machine but those of loopback.
QList<QHostAddress> QXmppIceComponent::discoverAddresses()
{
    return {QHostAddress(QHostAddress::LocalHost)};
}

static void send(QXmppTransferManager &transfers, const QString &to, const QString &method, const QString &path)
{
    const auto taken = transfers.supportedMethods();
    transfers.setSupportedMethods(method == "si-s5b"   ? QXmppTransferJob::SocksMethod
                                  : method == "si-ibb" ? QXmppTransferJob::InBandMethod
                                                       : QXmppTransferJob::AnyMethod);
    QXmppTransferJob *job = transfers.sendFile(to, path, "sent by QXmpp");
    QObject::connect(job, &QXmppTransferJob::finished, [&transfers, job, taken] {
        transfers.setSupportedMethods(taken); // until now the answer to the offer was held against it
        tell(job->error() == QXmppTransferJob::NoError ? "sent" : "unsent",
             {{"sid", job->sid()},
              {"to", job->jid()},
              {"name", job->fileName()},
              {"size", job->fileSize()},
              {"inband", job->method() == QXmppTransferJob::InBandMethod},
              {"error", int(job->error())}});
        job->deleteLater();
    });
}

// Lines of standard input: nothing of them has a blank in it.
static bool obey(QXmppTransferManager &transfers)
{
    static QByteArray input;
    char block[4096];
    const ssize_t count = read(STDIN_FILENO, block, sizeof block);
    if (count <= 0)
        return false;
    input.append(block, int(count));
    for (int end; (end = input.indexOf('\n')) >= 0; input.remove(0, end + 1)) {
        const QStringList words = QString::fromUtf8(input.left(end)).split(' ');
        if (words.size() == 4 && words[0] == "send")
            send(transfers, words[1], words[2], words[3]);
    }
    return true;
}

int main(int argc, char **argv)
{
    QCoreApplication app(argc, argv);
    QCommandLineParser options;
    options.addOptions({{"ibb", ""}, {"proxy", "", "JID"}, {"only-proxy", ""}});
    options.process(app);
    const QStringList arguments = options.positionalArguments();
    if (arguments.size() != 4) {
        fprintf(stderr, "usage: %s JID PASSWORD HOST PORT [--ibb] [--proxy JID] [--only-proxy]\n", argv[0]);
        return 2;
    }
    QXmppClient client;
    QXmppTransferManager transfers;
    transfers.setSupportedMethods(options.isSet("ibb") ? QXmppTransferJob::AnyMethod : QXmppTransferJob::SocksMethod);
    transfers.setProxy(options.value("proxy"));
    transfers.setProxyOnly(options.isSet("only-proxy"));
    client.addExtension(&transfers);
    client.logger()->setLoggingType(QXmppLogger::NoLogging);

    QXmppConfiguration account;
    account.setJid(arguments[0]);
    account.setResource(QXmppUtils::jidToResource(arguments[0]));
    account.setPassword(arguments[1]);
    account.setHost(arguments[2]);
    account.setPort(arguments[3].toInt());
    account.setAutoReconnectionEnabled(false);
    account.setStreamSecurityMode(QXmppConfiguration::TLSDisabled);

    QObject::connect(&client, &QXmppClient::connected, [&] { tell("ready", {{"jid", client.configuration().jid()}}); });
    QObject::connect(&client, &QXmppClient::error, [&](QXmppClient::Error error) {
        fprintf(stderr, "client error %d\n", int(error));
        app.exit(1);
    });
    QObject::connect(&transfers, &QXmppTransferManager::fileReceived, accept);
    QSocketNotifier input(STDIN_FILENO, QSocketNotifier::Read);
    QObject::connect(&input, &QSocketNotifier::activated, [&] {
        if (!obey(transfers)) {
            client.disconnectFromServer();
            app.quit();
        }
    });
    client.connectToServer(account);
    return app.exec();
}

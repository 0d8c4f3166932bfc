// A recipient: QXmpp's transfer manager (SI over SOCKS5 bytestreams, with --ibb in-band too), for the same tests as slixmpp_peer.py.
//   qxmpp_peer JID PASSWORD HOST PORT [--ibb]
// Tells what happens as one JSON object a line: ready, offer, file, broken. Ends when its standard input does.
#include <QCoreApplication>
#include <QCryptographicHash>
#include <QIODevice>
#include <QJsonDocument>
#include <QJsonObject>
#include <QSocketNotifier>
#include <cstdio>
#include <unistd.h>
#include <qxmpp/QXmppClient.h>
#include <qxmpp/QXmppConfiguration.h>
#include <qxmpp/QXmppLogger.h>
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

int main(int argc, char **argv)
{
    QCoreApplication app(argc, argv);
    const QStringList arguments = app.arguments();
    const bool inband = arguments.mid(5) == QStringList("--ibb");
    if (argc != (inband ? 6 : 5)) {
        fprintf(stderr, "usage: %s JID PASSWORD HOST PORT [--ibb]\n", argv[0]);
        return 2;
    }
    QXmppClient client;
    QXmppTransferManager transfers;
    transfers.setSupportedMethods(inband ? QXmppTransferJob::AnyMethod : QXmppTransferJob::SocksMethod);
    client.addExtension(&transfers);
    client.logger()->setLoggingType(QXmppLogger::NoLogging);

    QXmppConfiguration account;
    account.setJid(arguments[1]);
    account.setResource(QXmppUtils::jidToResource(arguments[1]));
    account.setPassword(arguments[2]);
    account.setHost(arguments[3]);
    account.setPort(arguments[4].toInt());
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
        char ignored[64];
        if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0) {
            client.disconnectFromServer();
            app.quit();
        }
    });
    client.connectToServer(account);
    return app.exec();
}
